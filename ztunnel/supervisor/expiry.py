"""When the certificates of the node's pods expire, for whoever watches: as a gauge, by what the workers say they hold.

The workers tell every supervisor anew, so that it is known whoever had the certificates signed.
"""

from __future__ import annotations

from mesh.net.metrics import Metrics
from ztunnel.supervisor.roster import Entry
from ztunnel.worker.start import Pod


class Expiry:
    """The gauge, with a value for every pod of which a worker is connected."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.gauge(
            "ambit_certificate_expiry_timestamp_seconds",
            "When the certificate of a pod's worker expires, in Unix time",
            "namespace",
            "pod",
        )
        self._held: dict[Pod, dict[int, int]] = {}

    def hold(self, entry: Entry, until: int) -> None:
        """A worker said until when its certificate is good."""
        self._held.setdefault(entry.pod, {})[entry.pid] = until
        self._show(entry.pod)

    def forget(self, entry: Entry) -> None:
        """A worker is not connected any more."""
        self._held.get(entry.pod, {}).pop(entry.pid, None)
        self._show(entry.pod)

    def _show(self, pod: Pod) -> None:
        """Of several workers of a pod, one of which drains, the newer certificate counts."""
        if held := self._held.get(pod):
            self._gauge.labels(pod.namespace, pod.name).set(max(held.values()))
        elif self._held.pop(pod, None) is not None:
            self._gauge.remove(pod.namespace, pod.name)
