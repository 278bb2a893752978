from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from opentelemetry.semconv._incubating.attributes import rpc_attributes
from opentelemetry.semconv.attributes import (
    client_attributes,
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)

from mesh.address import Address
from mesh.record import Event, HttpOutcome, Party, Record, Reporter
from mesh.refusal import Reason, Refusal
from mesh.sampling import kept
from mesh.span import Span, span_of, way_attributes
from mesh.spanline import SpanLines, read
from mesh.trace import SAMPLED, Step, TraceContext
from mesh.workload import Workload

STEP = Step(TraceContext("a" * 32, "b" * 16, SAMPLED), "c" * 16)
UNWANTED = Step(TraceContext("a" * 32, "b" * 16))
WEB = Workload("u1", "web-1", "shop", "web", workload_name="web", canonical_name="web", canonical_revision="v1")
ECHO = Workload("u2", "echo-1", "shop", "echo", workload_name="echo", canonical_name="echo")
HTTP = HttpOutcome(
    "GET", "echo.shop:80", "/cart?token=secret", "http", 200, None, "id-1", "HTTPRoute/shop/r#0", "shop/e"
)
REQUEST = Record(
    Event.REQUEST,
    Reporter.WAYPOINT,
    Party(Address(ip_address("10.0.0.1"), 40000), WEB, WEB.identity),
    Party(Address(ip_address("10.0.0.2"), 8080), ECHO, ECHO.identity),
    tunnel=Address(ip_address("10.0.0.2"), 15008),
    service="shop/echo.shop.svc.cluster.local",
    sent=10,
    received=20,
    seconds=0.25,
    first_byte_seconds=0.125,
    http=HTTP,
    step=STEP,
)  # fmt: skip


def span(record: Record) -> Span:
    return span_of(record, STEP, 10_000_000_000, dict(way_attributes(record)))


def test_a_request_is_a_server_span_named_by_its_route() -> None:
    found = span(REQUEST)
    assert (found.name, found.kind, found.error) == ("GET HTTPRoute/shop/r#0", "SERVER", None)
    assert (found.start, found.end) == (9_750_000_000, 10_000_000_000)
    assert found.events == (("first byte", 9_875_000_000),)


def test_attributes_have_the_names_of_the_conventions() -> None:
    record = replace(REQUEST, http=replace(HTTP, protocol="grpc", grpc_status=14, path="/shop.Cart/Add", status=200))
    found = span(record)
    known = {
        value
        for module in (
            client_attributes, error_attributes, http_attributes, network_attributes, rpc_attributes,
            server_attributes, url_attributes,
        )
        for value in vars(module).values()
        if isinstance(value, str)
    }  # fmt: skip
    ours = {name for name in {**found.way, **found.attributes} if not name.startswith(("istio.", "ambit."))}
    assert ours - known == {"guid:x-request-id", "http.request.body.size", "http.response.body.size"}
    assert (found.name, found.attributes["rpc.method"]) == ("shop.Cart/Add", "shop.Cart/Add")
    assert found.attributes["rpc.response.status_code"] == found.attributes["error.type"] == "UNAVAILABLE"


def test_both_ends_are_named_as_istios_users_know_them() -> None:
    way = span(REQUEST).way
    assert way["istio.source_workload"] == "web"
    assert way["istio.source_canonical_revision"] == "v1"
    assert way["istio.source_principal"] == "spiffe://cluster.local/ns/shop/sa/web"
    assert way["istio.destination_canonical_service"] == "echo"
    assert way["istio.destination_namespace"] == "shop"
    assert way["istio.destination_service"] == "echo.shop.svc.cluster.local"
    assert way["network.peer.port"] == 15008


def test_a_query_is_in_no_span() -> None:
    assert "secret" not in str(span(REQUEST))


def test_a_method_that_nobody_knows_makes_no_name() -> None:
    found = span(replace(REQUEST, http=replace(HTTP, method="BREW" * 1000, route="")))
    assert found.name == "HTTP"
    assert found.attributes["http.request.method"] == "_OTHER"
    assert len(str(found.attributes["http.request.method_original"])) == 1024


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (200, None, None),
        (404, Reason.NO_ROUTE, None),
        (403, Reason.POLICY_DENIED, None),
        (503, Reason.BACKEND_FAILED, "503"),
        (500, None, "500"),
        (200, Reason.BACKEND_FAILED, "backend-failed"),
        (0, Reason.CALLER_GONE, None),
    ],
)
def test_a_callers_mistake_is_no_error_of_the_server(status: int, reason: Reason | None, error: str | None) -> None:
    refusal = Refusal(reason, "why") if reason is not None else None
    found = span(replace(REQUEST, http=replace(HTTP, status=status), refusal=refusal))
    assert found.attributes.get("error.type") == error
    assert (found.error is not None) == (error is not None)


def test_a_connection_has_events_and_counts_bytes() -> None:
    closed = replace(
        REQUEST, event=Event.CLOSED, reporter=Reporter.SOURCE, http=None, connect_seconds=0.0625, policy="shop/allow"
    )
    found = span(closed)
    assert (found.name, found.kind) == ("TCP echo.shop.svc.cluster.local", "CLIENT")
    assert [name for name, _ in found.events] == ["connected", "first byte"]
    assert found.attributes["ambit.bytes_sent"] == 10
    assert found.attributes["ambit.policy"] == "shop/allow"


def test_errors_are_kept_whatever_was_decided_for_their_trace() -> None:
    assert kept(REQUEST)
    assert not kept(replace(REQUEST, step=UNWANTED))
    assert kept(replace(REQUEST, step=UNWANTED, http=replace(HTTP, status=503)))
    denied = replace(REQUEST, step=UNWANTED, refusal=Refusal(Reason.POLICY_DENIED, "no"))
    assert kept(denied)
    assert not kept(replace(denied, step=None))
    assert not kept(replace(REQUEST, event=Event.OPENED))
    assert not kept(replace(denied, refusal=Refusal(Reason.CALLER_GONE, "left")))


@pytest.mark.parametrize(
    "record",
    [
        REQUEST,
        replace(REQUEST, http=replace(HTTP, method="\n\x00\u2028", path="/\ud800\"\\", grpc_status=3, protocol="grpc")),
        replace(REQUEST, http=None, event=Event.CLOSED, reporter=Reporter.DESTINATION, connect_seconds=0.5),
        replace(REQUEST, http=None, event=Event.CLOSED, moments=(("resolved", 0.1), ("tunnel ready", 0.2))),
        replace(REQUEST, http=None, event=Event.CLOSED, refusal=Refusal(Reason.TUNNEL_LOST, "reset")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [STEP, UNWANTED, Step(STEP.own, "", TraceContext("d" * 32, "e" * 16, SAMPLED, "a=1"))])
def test_a_line_is_read_as_the_span_of_its_record(record: Record, step: Step) -> None:
    line = SpanLines().line(record, step, 10_000_000_000)
    assert "\n" not in line
    assert read(line.encode("ascii")) == span_of(record, step, 10_000_000_000, dict(way_attributes(record)))
