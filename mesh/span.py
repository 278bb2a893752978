"""A record as a span of OpenTelemetry. Pure; the names are those of its semantic conventions, and `istio.*`.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and .../rpc/grpc/. Never in a span: a query, which may hold
a secret, and header fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.record import HttpOutcome, Party, Record, Reporter, severe
from mesh.trace import Step

Value = str | int | float | bool
Attributes = Mapping[str, Value]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
_LONGEST: Final = 1024
"""Characters of a text; what callers write is bounded."""
_LONGEST_LIFE: Final = 1e9
"""Seconds."""
_MOST: Final = (1 << 63) - 1
_GRPC: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_GRPC_FAULTS: Final = frozenset({2, 4, 12, 13, 14, 15})
"""The statuses that are the server's fault, by the conventions."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Times are nanoseconds since 1970; `way` is what all records by the same way share."""

    name: str
    kind: str
    """`SERVER`, `CLIENT` or `INTERNAL`."""
    step: Step
    start: int
    end: int
    way: Attributes
    attributes: Attributes
    events: tuple[tuple[str, int], ...] = ()
    """What happened between, and when."""
    error: str | None = None
    """Why it failed; None where it did not."""


def span_of(record: Record, step: Step, ended: int, way: Attributes) -> Span:
    """The span of a record that has come to its end at `ended`; `way` is what `way_attributes` tells of it."""
    start = max(0, ended - _nanoseconds(record.seconds))
    return Span(
        _name(record),
        "CLIENT" if record.reporter is Reporter.SOURCE else "SERVER",
        step,
        start,
        ended,
        way,
        dict(event_attributes(record)),
        tuple((name, min(ended, start + _nanoseconds(after))) for name, after in _moments(record)),
        _error(record),
    )


def _nanoseconds(seconds: float) -> int:
    """Whatever a worker has told, it is a number that a receiver takes."""
    return round(min(seconds, _LONGEST_LIFE) * 1e9)


def way_attributes(record: Record) -> Iterator[tuple[str, Value]]:
    """From where to where: the same for all records between the same two by the same way."""
    yield "ambit.reporter", record.reporter.value
    yield from _party("source", record.source)
    yield from _party("destination", record.destination)
    if (source := record.source.address) is not None:
        yield "client.address", str(source.ip)
        yield "client.port", source.port
    if (far := record.tunnel or record.destination.address) is not None and record.reporter is not Reporter.DESTINATION:
        yield "network.peer.address", str(far.ip)
        yield "network.peer.port", far.port
    yield "network.transport", "tcp"
    if record.tunnel is not None and record.destination.address is not None:
        yield "ambit.hbone.authority", str(record.destination.address)
    if record.service:
        namespace, _, hostname = record.service.partition("/")
        yield "istio.destination_service", hostname
        yield "istio.destination_service_namespace", namespace


def event_attributes(record: Record) -> Iterator[tuple[str, Value]]:
    """What happened."""
    if record.http is not None:
        yield from _http(record, record.http)
    else:
        yield "ambit.bytes_sent", min(record.sent, _MOST)
        yield "ambit.bytes_received", min(record.received, _MOST)
        if (to := record.destination.address) is not None:
            yield "server.address", str(to.ip)
            yield "server.port", to.port
    texts = (
        ("ambit.policy", record.policy),
        ("ambit.dry_run", record.dry_run),
        ("ambit.audit", record.audit),
        ("ambit.reset", record.ending),
    )
    yield from ((name, text[:_LONGEST]) for name, text in texts if text)
    if record.refusal is not None:
        yield "response_flags", record.refusal.reason.flag
        yield "ambit.refusal.reason", record.refusal.reason.value
        yield "ambit.refusal.detail", record.refusal.detail[:_LONGEST]
    if (fault := _fault(record)) is not None:
        yield "error.type", fault


def _name(record: Record) -> str:
    if record.http is None:
        return f"TCP {record.service.partition('/')[2]}".rstrip()
    http = record.http
    if http.protocol == "grpc":
        return http.path.partition("?")[0].lstrip("/")[:_LONGEST]
    method = http.method if http.method in _METHODS else "HTTP"
    return f"{method} {http.route}" if http.route else method


def _moments(record: Record) -> Iterator[tuple[str, float]]:
    """What happened between the beginning and the end, in seconds from the beginning."""
    yield from record.moments
    if record.connect_seconds is not None:
        yield "connected", record.connect_seconds
    if record.first_byte_seconds is not None:
        yield "first byte", record.first_byte_seconds


def _party(side: str, party: Party) -> Iterator[tuple[str, Value]]:
    one = party.workload
    if one is not None:
        found = (
            ("workload", one.workload_name or one.name),
            ("namespace", one.namespace),
            ("canonical_service", one.canonical_name),
            ("canonical_revision", one.canonical_revision),
            ("cluster_id", one.cluster_id),
        )
        yield from ((f"istio.{side}_{name}", value) for name, value in found if value)
        yield f"ambit.{side}_pod", one.name
    if party.identity is not None:
        yield f"istio.{side}_principal", str(party.identity)


def _http(record: Record, http: HttpOutcome) -> Iterator[tuple[str, Value]]:
    if http.method in _METHODS:
        yield "http.request.method", http.method
    else:
        yield "http.request.method", "_OTHER"
        yield "http.request.method_original", http.method[:_LONGEST]
    path = http.path.partition("?")[0][:_LONGEST]
    yield "url.scheme", "http"
    yield "url.path", path
    host, port = _host_and_port(http.host)
    if host:
        yield "server.address", host[:_LONGEST]
    if port is not None:
        yield "server.port", port
    if http.status:
        yield "http.response.status_code", http.status
    yield "http.request.body.size", record.received
    yield "http.response.body.size", record.sent
    if http.protocol == "grpc":
        yield "rpc.system.name", "grpc"
        yield "rpc.method", path.lstrip("/")
        if http.grpc_status is not None:
            yield "rpc.response.status_code", _grpc_name(http.grpc_status)
    named = (("guid:x-request-id", http.request_id), ("ambit.route", http.route), ("ambit.backend", http.backend))
    yield from ((name, text[:_LONGEST]) for name, text in named if text)


def _host_and_port(authority: str) -> tuple[str, int | None]:
    host, colon, port = authority.rpartition(":")
    if colon and not host.endswith(":") and port.isascii() and port.isdecimal() and len(port) <= 5:
        return host, int(port)
    return authority, None


def _grpc_name(status: int) -> str:
    return _GRPC[status] if status < len(_GRPC) else str(status)


def _fault(record: Record) -> str | None:
    """The class of error, few of them; None where there was none. A caller's mistake is not the server's error."""
    http = record.http
    if http is not None and http.grpc_status in _GRPC_FAULTS:
        return _grpc_name(http.grpc_status or 0)
    if http is not None and http.status >= 500:
        return str(http.status)
    if record.refusal is not None and severe(record) and not (http is not None and 400 <= http.status < 500):
        return str(record.refusal.reason.value)
    return None


def _error(record: Record) -> str | None:
    fault = _fault(record)
    if fault is None:
        return None
    return record.refusal.detail[:_LONGEST] if record.refusal is not None else ""
