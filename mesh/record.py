"""What happened to one connection or one request. Access log, metrics and spans are all made of it, so they agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from mesh.address import Address
from mesh.identity import Identity
from mesh.refusal import Reason, Refusal
from mesh.trace import Step
from mesh.workload import Workload


class Reporter(Enum):
    """Which proxy saw it: the caller's, the callee's, or a waypoint between them."""

    SOURCE = "source"
    DESTINATION = "destination"
    WAYPOINT = "waypoint"


class Event(Enum):
    """The moment a record tells of."""

    OPENED = "connection opened"
    CLOSED = "connection complete"
    REQUEST = "request complete"


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a connection; what is not known is left out."""

    address: Address | None = None
    workload: Workload | None = None
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class HttpOutcome:
    """What layer 7 adds to a record."""

    method: str
    host: str
    path: str
    protocol: str
    """`http` or `grpc`."""
    status: int
    grpc_status: int | None = None
    request_id: str = ""
    route: str = ""
    """The rule that decided, as `<kind>/<namespace>/<name>#<rule>`; empty when no route was asked."""
    backend: str = ""
    delayed: float = 0.0
    """Seconds for which a TrafficPolicy had it held back, to see how its caller bears it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One connection or request, seen by one proxy. Bytes are counted as the reporter sent and received them."""

    event: Event
    reporter: Reporter
    source: Party
    destination: Party
    tunnel: Address | None = None
    """The HBONE listener that the connection went to, on its way to the destination."""
    service: str = ""
    """The service that was called, as `namespace/hostname`."""
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    connect_seconds: float | None = None
    """From the caller's connection to the moment from which bytes could flow; None if that never came."""
    first_byte_seconds: float | None = None
    """From the caller's connection to the first byte of the answer."""
    ending: str = ""
    """Who reset the connection and how that was noticed; empty where both sides ended it in order."""
    mutual_tls: bool = False
    refusal: Refusal | None = None
    policy: str = ""
    """The key of the policy that decided, where one did."""
    dry_run: str = ""
    """What policies on a dry run would have decided (mesh.verdict.Verdict)."""
    audit: str = ""
    """The keys of the AUDIT policies that match."""
    trace: str = ""
    """The trace id of the `traceparent` that travelled with it."""
    step: Step | None = None
    """Its place in that trace, where traces are made."""
    moments: tuple[tuple[str, float], ...] = ()
    """What else happened on the way, and how many seconds after the beginning; known where traces are made."""
    ended: int = 0
    """When it ended, in nanoseconds since 1970; 0 where that is now."""
    http: HttpOutcome | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended by a refusal."""
        return self.refusal is not None

    @property
    def flag(self) -> str:
        """The response flag, `-` for none."""
        if self.refusal is not None:
            return self.refusal.reason.flag
        return "DI" if self.http is not None and self.http.delayed else "-"


def log_fields(record: Record) -> Iterator[tuple[str, str | int]]:
    """The fields of the access log line, in order, under the names that ztunnel uses. Text values are to be quoted."""
    yield from way_fields(record)
    yield from event_fields(record)


def way_fields(record: Record) -> Iterator[tuple[str, str | int]]:
    """The first of them: from where to where. The same for all records between the same two by the same way."""
    yield from _party_fields("src", record.source)
    yield from _party_fields("dst", record.destination, record.tunnel)
    if record.tunnel is not None and record.destination.address is not None:
        yield "dst.hbone_addr", str(record.destination.address)
    if record.service:
        yield "dst.service", record.service.partition("/")[2]
    yield "direction", {"source": "outbound", "destination": "inbound"}.get(record.reporter.value, "waypoint")


def event_fields(record: Record) -> Iterator[tuple[str, str | int]]:
    """The rest: what happened."""
    if record.http is not None:
        yield from _http_fields(record.http)
    if record.connect_seconds is not None:
        yield "connect", f"{record.connect_seconds * 1000:.1f}ms"
    if record.event is not Event.OPENED:
        if record.first_byte_seconds is not None and record.http is None:
            yield "first_byte", f"{record.first_byte_seconds * 1000:.1f}ms"
        yield "bytes_sent", record.sent
        yield "bytes_recv", record.received
        yield "duration", f"{record.seconds * 1000:.0f}ms"
    if record.policy:
        yield "policy", record.policy
    if record.dry_run:
        yield "dry_run", record.dry_run
    if record.audit:
        yield "audit", record.audit
    if record.trace:
        yield "trace_id", record.trace
    if record.ending:
        yield "reset", record.ending
    if record.refusal is not None:
        yield "reason", record.refusal.reason.value
        yield "error", record.refusal.detail


def _party_fields(side: str, party: Party, tunnel: Address | None = None) -> Iterator[tuple[str, str]]:
    """With a tunnel, `addr` is where the connection itself went; what it was for stands in `dst.hbone_addr`."""
    if (address := tunnel or party.address) is not None:
        yield f"{side}.addr", str(address)
    if party.workload is not None:
        yield f"{side}.workload", party.workload.name
        yield f"{side}.namespace", party.workload.namespace
    if party.identity is not None:
        yield f"{side}.identity", str(party.identity)


def _http_fields(http: HttpOutcome) -> Iterator[tuple[str, str | int]]:
    yield "method", http.method
    yield "host", http.host
    yield "path", http.path
    yield "protocol", http.protocol
    yield "status", http.status
    if http.grpc_status is not None:
        yield "grpc_status", http.grpc_status
    for name, value in (("request_id", http.request_id), ("route", http.route), ("backend", http.backend)):
        if value:
            yield name, value
    if http.delayed:
        yield "fault_delay", f"{http.delayed * 1000:.0f}ms"


def severe(record: Record) -> bool:
    """Whether the line belongs at level `error`: refusals do, but not those of a caller that merely went away."""
    return record.refusal is not None and record.refusal.reason not in {Reason.DRAINING, Reason.CALLER_GONE}


def labels(record: Record) -> dict[str, str]:
    """The labels of Istio's standard metrics; what is not known is `unknown`."""
    namespace, _, hostname = record.service.partition("/")
    return {
        "reporter": record.reporter.value,
        **_party_labels("source", record.source),
        **_party_labels("destination", record.destination),
        "destination_service": hostname or _UNKNOWN,
        "destination_service_namespace": namespace or _UNKNOWN,
        "destination_service_name": hostname.partition(".")[0] or _UNKNOWN,
        "request_protocol": record.http.protocol if record.http is not None else "tcp",
        "response_flags": record.flag,
        "connection_security_policy": "mutual_tls" if record.mutual_tls else _UNKNOWN,
    }


_UNKNOWN = "unknown"


def _party_labels(side: str, party: Party) -> dict[str, str]:
    one = party.workload
    name = one.canonical_name if one is not None else ""
    revision = one.canonical_revision if one is not None else ""
    found = {
        "workload": one.workload_name or one.name if one is not None else "",
        "canonical_service": name,
        "canonical_revision": revision,
        "workload_namespace": one.namespace if one is not None else "",
        "principal": str(party.identity) if party.identity is not None else "",
        "app": name,
        "version": revision,
        "cluster": one.cluster_id if one is not None else "",
        "region": one.locality.region if one is not None else "",
        "zone": one.locality.zone if one is not None else "",
    }
    return {f"{side}_{key}": value or _UNKNOWN for key, value in found.items()}
