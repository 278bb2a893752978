"""Istio's metrics of HTTP requests. Counting one is a few additions; labels and text are made when somebody asks.

prometheus_client's own counters cost some 30 us a request by their label look-ups, which a proxy feels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mesh.record import Event, HttpOutcome, Party, Record, Reporter, labels

_MILLISECONDS: Final = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
_BYTES: Final = (1, 8, 64, 512, 4096, 32768, 262144, 2097152, 16777216, 134217728, 1073741824)
_NAMES: Final = tuple(labels(Record(Event.OPENED, Reporter.SOURCE, Party(), Party())))
_CACHED: Final = 4096
"""Ways to a tally that are kept at hand."""

_Labels = tuple[str, ...]


class RequestMetrics(Collector):
    """All requests of one proxy."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[_Labels, str, str], _Tally] = {}
        self._near: dict[tuple[object, ...], _Tally] = {}

    def observe(self, record: Record, http: HttpOutcome) -> None:
        """Count one request."""
        source, destination = record.source, record.destination
        key = (
            id(source.workload),
            source.identity,
            id(destination.workload),
            destination.identity,
            record.service,
            record.refusal.reason if record.refusal is not None else None,
            record.mutual_tls,
            record.reporter,
            http.protocol,
            http.status,
            http.grpc_status,
        )
        tally = self._near.get(key)
        if tally is None:
            tally = self._near_tally(key, record, http)
        tally.requests += 1
        tally.duration.observe(record.seconds * 1000)
        tally.request_bytes.observe(record.received)
        tally.response_bytes.observe(record.sent)

    def collect(self) -> Iterator[Metric]:
        """Everything counted, as prometheus_client shows it."""
        requests = CounterMetricFamily(
            "istio_requests", "HTTP requests", labels=(*_NAMES, "response_code", "grpc_response_status")
        )
        for (common, code, grpc), tally in self._tallies.items():
            requests.add_metric((*common, code, grpc), tally.requests)
        yield requests
        yield self._histogram("istio_request_duration_milliseconds", "Duration of HTTP requests", "duration")
        yield self._histogram("istio_request_bytes", "Request body size", "request_bytes")
        yield self._histogram("istio_response_bytes", "Response body size", "response_bytes")

    def _near_tally(self, key: tuple[object, ...], record: Record, http: HttpOutcome) -> _Tally:
        if len(self._near) >= _CACHED:
            self._near.clear()
        grpc = "" if http.grpc_status is None else str(http.grpc_status)
        named = (tuple(labels(record).values()), str(http.status), grpc)
        tally = self._tallies.setdefault(named, _Tally())
        # The workloads are told apart by being the same object: kept, no other can take their place in memory.
        tally.keep((record.source.workload, record.destination.workload))
        self._near[key] = tally
        return tally

    def _histogram(self, name: str, text: str, part: str) -> HistogramMetricFamily:
        """One histogram; gRPC statuses are no label of it."""
        family = HistogramMetricFamily(name, text, labels=(*_NAMES, "response_code"))
        sums: dict[_Labels, _Histogram] = {}
        for (common, code, _), tally in self._tallies.items():
            one: _Histogram = getattr(tally, part)
            whole = sums.setdefault((*common, code), _Histogram(one.bounds))
            whole.add(one)
        for names, whole in sums.items():
            family.add_metric(names, whole.buckets(), whole.total)
        return family


class _Histogram:
    """Counts by size, and the sum of what was observed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: _Histogram) -> None:
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def buckets(self) -> list[tuple[str, float]]:
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class _Tally:
    """What counts the requests of one set of labels."""

    __slots__ = ("_kept", "duration", "request_bytes", "requests", "response_bytes")

    def __init__(self) -> None:
        self.requests = 0
        self.duration = _Histogram(_MILLISECONDS)
        self.request_bytes = _Histogram(_BYTES)
        self.response_bytes = _Histogram(_BYTES)
        self._kept: list[object] = []

    def keep(self, what: Iterable[object]) -> None:
        self._kept[:] = [*self._kept[-_CACHED:], *what]
