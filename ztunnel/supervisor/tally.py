"""Counts the questions for names of a node's pods, under the names that Istio's ztunnel gives these metrics."""

from __future__ import annotations

from typing import Final

from mesh.net.metrics import Metrics
from ztunnel.channel.naming import Naming, Outcome
from ztunnel.worker.start import Pod

_LABELS: Final = ("request_query_type", "request_protocol", "source_workload", "source_workload_namespace")
_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)


class Tally:
    """The metrics of names."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter("istio_dns_requests", "Questions for names", *_LABELS)
        self._refused = metrics.counter("ambit_dns_refused", "Questions for names that were refused", *_LABELS)
        self._upstream = metrics.counter("istio_dns_upstream_requests", "Those passed on to name servers", *_LABELS)
        self._failures = metrics.counter("istio_dns_upstream_failures", "Those that no name server answered", *_LABELS)
        self._duration = metrics.histogram(
            "istio_dns_upstream_request_duration_seconds", "Until a name server answered", _SECONDS, *_LABELS
        )
        self._on_demand = metrics.counter(
            "istio_on_demand_dns", "Host names of endpoints that were looked up for a call", *_LABELS[2:]
        )

    def take(self, pod: Pod, naming: Naming) -> None:
        """Count what the worker of this pod told."""
        if naming.outcome is Outcome.ON_DEMAND:
            self._on_demand.labels(pod.name, pod.namespace).inc()
            return
        labels = (naming.kind, naming.protocol, pod.name, pod.namespace)
        self._requests.labels(*labels).inc()
        if naming.outcome is Outcome.REFUSED:
            self._refused.labels(*labels).inc()
        if naming.outcome in {Outcome.FORWARDED, Outcome.FAILED}:
            self._upstream.labels(*labels).inc()
            self._duration.labels(*labels).observe(naming.seconds)
        if naming.outcome is Outcome.FAILED:
            self._failures.labels(*labels).inc()
