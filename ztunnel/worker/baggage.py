"""How a worker describes its pod to the other end of a tunnel, for telemetry only."""

from __future__ import annotations

from mesh.hbone.headers import Baggage
from mesh.workload import Workload


def baggage(own: Workload) -> bytes:
    """The value of the baggage header."""
    return Baggage(
        own.cluster_id,
        own.namespace,
        own.workload_type,
        own.workload_name or own.name,
        own.canonical_name,
        own.canonical_revision,
        own.locality.region,
        own.locality.zone,
    ).encode()
