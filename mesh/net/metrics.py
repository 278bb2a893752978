"""Istio's standard metrics and ours, counted from records and shown in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mesh.net.request_metrics import RequestMetrics
from mesh.record import Event, Party, Record, Reporter, labels
from mesh.refusal import Reason

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_EMPTY: Final = Record(Event.OPENED, Reporter.SOURCE, Party(), Party())
_NAMES: Final = tuple(labels(_EMPTY))
_PAIR: Final = (
    "reporter", "source_workload", "source_workload_namespace",
    "destination_workload", "destination_workload_namespace",
)  # fmt: skip
"""The labels of histograms, which have many series for each set: as many as there are pairs that talk."""
_CONNECT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 10)
_SECONDS: Final = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600)
_CACHED: Final = 4096
"""Sets of labels that are kept at hand."""


class Metrics:
    """Every metric of one proxy. Names and labels are Istio's where Istio has the thing."""

    def __init__(self, build: str) -> None:
        self.registry: Final = CollectorRegistry()
        self.tcp_opened = self._counter("istio_tcp_connections_opened", "TCP connections opened")
        self.tcp_closed = self._counter("istio_tcp_connections_closed", "TCP connections closed")
        self.tcp_failed = self._counter("istio_tcp_connections_failed", "TCP connections refused or failed", "reason")
        self.tcp_sent = self._counter("istio_tcp_sent_bytes", "Bytes sent toward the caller")
        self.tcp_received = self._counter("istio_tcp_received_bytes", "Bytes received from the caller")
        self.tcp_connect = self.histogram(
            "ambit_tcp_connect_seconds", "From the caller's connection until bytes can flow", _CONNECT, *_PAIR
        )
        self.tcp_first_byte = self.histogram(
            "ambit_tcp_first_byte_seconds", "To the first byte of the answer", _SECONDS, *_PAIR
        )
        self._requests = RequestMetrics()
        self.registry.register(self._requests)
        self._revoked = self.counter("istio_crl_policy_rejections", "Connections refused or ended by revocation lists")
        self._dry_run = self.counter(
            "ambit_dry_run",
            "Requests and connections that policies on a dry run judged, and how",
            *("reporter", "destination_workload", "destination_workload_namespace", "verdict", "would_be"),
        )
        self._tallies: dict[tuple[object, ...], _Tally] = {}
        Gauge("istio_build", "The running version", ["component", "tag"], registry=self.registry).labels(
            component="ambit", tag=build
        ).set(1)

    def gauge(self, name: str, text: str, *names: str) -> Gauge:
        """A gauge of the caller's own, shown with the rest."""
        return Gauge(name, text, names, registry=self.registry)

    def counter(self, name: str, text: str, *names: str) -> Counter:
        """A counter of the caller's own, shown with the rest."""
        return Counter(name, text, names, registry=self.registry)

    def histogram(self, name: str, text: str, buckets: Sequence[float], *names: str) -> Histogram:
        """A histogram of the caller's own, shown with the rest."""
        return Histogram(name, text, names, buckets=buckets, registry=self.registry)

    def observe(self, record: Record) -> None:
        """Count one record."""
        if record.dry_run and record.event is not Event.OPENED:
            self._observe_dry_run(record)
        if record.http is not None:
            self._requests.observe(record, record.http)
        elif record.event is Event.OPENED:
            self._tally(record).opened.inc()
        elif record.event is Event.CLOSED:
            self._observe_close(record, self._tally(record))

    def page(self) -> bytes:
        """Everything, in the Prometheus text format."""
        return generate_latest(self.registry)

    def _tally(self, record: Record) -> _Tally:
        """The one for the record's labels. Workloads are told apart by being the same object, which is cheap."""
        source, destination = record.source, record.destination
        key = (
            record.reporter,
            id(source.workload),
            source.identity,
            id(destination.workload),
            destination.identity,
            record.service,
            record.flag,
            record.mutual_tls,
        )
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= _CACHED:
                self._tallies.clear()
            tally = self._tallies[key] = _Tally(self, record)
        return tally

    def _observe_dry_run(self, record: Record) -> None:
        denied = record.refusal is not None and record.refusal.reason is Reason.POLICY_DENIED
        named, would_be = labels(record), record.dry_run.partition(":")[0].partition(" ")[0]
        at = (named[name] for name in ("reporter", "destination_workload", "destination_workload_namespace"))
        self._dry_run.labels(*at, "denied" if denied else "allowed", would_be).inc()

    def _observe_close(self, record: Record, tally: _Tally) -> None:
        if record.refusal is not None:
            if record.refusal.reason is Reason.CERTIFICATE_REVOKED:
                self._revoked.inc()
            self.tcp_failed.labels(**tally.labels, reason=record.refusal.reason.value).inc()
        tally.closed.inc()
        up, down = (
            (record.sent, record.received) if record.reporter is Reporter.SOURCE else (record.received, record.sent)
        )
        tally.sent.inc(down)
        tally.received.inc(up)
        if record.connect_seconds is not None:
            tally.connect.observe(record.connect_seconds)
        if record.first_byte_seconds is not None:
            tally.first_byte.observe(record.first_byte_seconds)

    def _counter(self, name: str, text: str, *extra: str) -> Counter:
        return Counter(name, text, (*_NAMES, *extra), registry=self.registry)


class _Tally:
    """What counts the connections of one set of labels; each is made, and so shown, when it first counts something."""

    def __init__(self, metrics: Metrics, record: Record) -> None:
        self.labels = labels(record)
        self._metrics = metrics
        self._workloads = record.source.workload, record.destination.workload
        """Kept alive, so that no other takes their place in memory and is taken for them."""

    @cached_property
    def opened(self) -> Counter:
        return self._metrics.tcp_opened.labels(**self.labels)

    @cached_property
    def closed(self) -> Counter:
        return self._metrics.tcp_closed.labels(**self.labels)

    @cached_property
    def sent(self) -> Counter:
        return self._metrics.tcp_sent.labels(**self.labels)

    @cached_property
    def received(self) -> Counter:
        return self._metrics.tcp_received.labels(**self.labels)

    @cached_property
    def first_byte(self) -> Histogram:
        return self._metrics.tcp_first_byte.labels(*(self.labels[name] for name in _PAIR))

    @cached_property
    def connect(self) -> Histogram:
        return self._metrics.tcp_connect.labels(*(self.labels[name] for name in _PAIR))
