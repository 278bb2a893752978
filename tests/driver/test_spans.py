"""Spans from records to a real OTLP receiver, by the exporter's own process."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.lowlevel
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mesh.net.metrics import Metrics
from mesh.net.spans import Spans
from mesh.record import Event, HttpOutcome, Party, Record, Reporter
from mesh.refusal import Reason, Refusal
from mesh.sampling import Sampling
from mesh.trace import SAMPLED, Step, TraceContext
from mesh.tracing import Protocol, Tracing
from mesh.workload import Workload
from tests.otlp_receiver import grpc_receiver, http_receiver, plain
from tests.tunnel_ends import until

WEB = Workload("u1", "web-1", "shop", "web", workload_name="web", canonical_name="web")
OWN = TraceContext("0" * 31 + "1", "0" * 15 + "2", SAMPLED, "a=1")
LINKED = TraceContext("a" * 32, "b" * 16, SAMPLED)
REQUEST = Record(
    Event.REQUEST,
    Reporter.WAYPOINT,
    Party(None, WEB, WEB.identity),
    Party(),
    seconds=0.5,
    first_byte_seconds=0.25,
    http=HttpOutcome("GET", "echo", "/cart", "http", 200),
    step=Step(OWN, "0" * 15 + "3", LINKED),
)


def tracing(endpoint: str, protocol: Protocol = Protocol.GRPC, **more: str) -> Tracing:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **more}
    return Tracing(Sampling(1.0), protocol, environment)


@asynccontextmanager
async def exporting(to: Tracing) -> AsyncIterator[tuple[Spans, Metrics]]:
    metrics = Metrics("test")
    spans = Spans(to, {"service.name": "waypoint.shop"}, metrics)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spans.run)
        await until(lambda: spans.exporter is not None)
        yield spans, metrics
        nursery.cancel_scope.cancel()


def count(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"ambit_spans_{name}_total", labels) or 0.0


@pytest.mark.parametrize("protocol", Protocol)
async def test_a_record_arrives_as_a_span_over_grpc_and_over_http(protocol: Protocol) -> None:
    receiving = grpc_receiver() if protocol is Protocol.GRPC else http_receiver()
    with receiving as receiver:
        secret = {"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=t1"}
        async with exporting(tracing(receiver.endpoint, protocol, **secret)) as (spans, metrics):
            spans.note(REQUEST)
            spans.note(replace(REQUEST, refusal=Refusal(Reason.BACKEND_FAILED, "gone"), http=None))
            spans.flush()
            await until(lambda: len(receiver.spans) == 2, 60)
            await until(lambda: count(metrics, "exported") == 2, 60)
    good, bad = receiver.spans
    assert (good.name, good.kind) == ("GET", Span.SPAN_KIND_SERVER)
    assert (good.trace_id.hex(), good.span_id.hex()) == (OWN.trace, OWN.span)
    assert good.parent_span_id.hex() == "0" * 15 + "3"
    assert (good.trace_state, good.links[0].trace_id.hex()) == ("a=1", LINKED.trace)
    assert good.end_time_unix_nano - good.start_time_unix_nano == 500_000_000
    assert [event.name for event in good.events] == ["first byte"]
    attributes = plain(good.attributes)
    assert attributes["istio.source_workload"] == "web"
    assert attributes["http.response.status_code"] == 200
    assert good.status.code == Status.STATUS_CODE_UNSET
    assert (bad.status.code, bad.status.message) == (Status.STATUS_CODE_ERROR, "gone")
    assert receiver.resource["service.name"] == "waypoint.shop"
    assert {name.lower(): text for name, text in receiver.metadata[0].items()}["x-tenant"] == "t1"


async def test_what_a_lying_worker_tells_costs_nobody_elses_spans() -> None:
    absurd = replace(
        REQUEST, http=None, event=Event.CLOSED, seconds=1e300, sent=1 << 100, ended=(1 << 63) - 1, service="a/\ud800",
        moments=(("\udfff", 1e300),), policy="\ud800",
    )  # fmt: skip
    with grpc_receiver() as receiver:
        async with exporting(tracing(receiver.endpoint)) as (spans, _):
            spans.note(absurd)
            spans.note(REQUEST)
            await until(lambda: len(receiver.spans) == 2, 60)


async def test_what_is_under_way_when_the_proxy_ends_still_arrives() -> None:
    with grpc_receiver() as receiver:
        async with exporting(tracing(receiver.endpoint)) as (spans, _):
            for _ in range(1000):
                spans.note(REQUEST)
        assert len(receiver.spans) == 1000


async def test_a_receiver_that_does_not_answer_costs_spans_which_are_counted_and_no_time() -> None:
    with grpc_receiver() as receiver:
        receiver.answering.clear()
        slow = tracing(receiver.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="60")
        async with exporting(slow) as (spans, metrics):
            noted = 0
            while not count(metrics, "dropped", at="proxy") and noted < 50_000:
                for _ in range(500):
                    spans.note(REQUEST)
                spans.flush()
                noted += 500
                await trio.lowlevel.checkpoint()
            receiver.answering.set()
            await until(lambda: lost(metrics) + count(metrics, "exported") == noted, 60)
            assert lost(metrics) > 0
            assert len(receiver.spans) == count(metrics, "exported")


async def test_a_receiver_that_is_not_there_is_told_of_in_a_metric() -> None:
    nobody = tracing("http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1")
    async with exporting(nobody) as (spans, metrics):
        spans.note(REQUEST)
        spans.flush()
        await until(lambda: count(metrics, "dropped", at="receiver") == 1, 60)


async def test_an_exporter_that_dies_is_replaced() -> None:
    with grpc_receiver() as receiver:
        async with exporting(tracing(receiver.endpoint)) as (spans, metrics):
            first = spans.exporter
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await until(lambda: spans.exporter not in {first, None}, 60)
            spans.note(REQUEST)
            spans.flush()
            await until(lambda: count(metrics, "exported") == 1, 60)


def lost(metrics: Metrics) -> float:
    return sum(count(metrics, "dropped", at=at) for at in ("proxy", "exporter", "receiver"))
