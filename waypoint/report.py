"""What has happened, as records: one for each request, two for each connection that stayed opaque. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.address import Address
from mesh.identity import Identity
from mesh.record import Event, HttpOutcome, Party, Record, Reporter
from mesh.refusal import Refusal
from mesh.snapshot import Snapshot
from mesh.trace import TRACEPARENT, Step, TraceContext
from waypoint.answer import Answer, is_grpc
from waypoint.authentication import without_secrets
from waypoint.callee import Callee, Gateway
from waypoint.endpoint import Endpoint
from waypoint.http.events import RequestHead, value
from waypoint.outcome import Outcome
from waypoint.plan import Forward


@dataclass(frozen=True, slots=True)
class Arrival:
    """A tunnel stream that has come in: who sent it, from where, and for what."""

    identity: Identity
    address: Address
    authority: str
    trace: TraceContext | None = None
    """The span of its connection at the caller's proxy, where that made one that is kept."""


def of_request(source: Party, callee: Callee | Refusal, outcome: Outcome, *, now: float) -> Record:
    """The record of a request. `now` is in the time of the outcome."""
    forward, answer = outcome.forward, outcome.answer
    decided = forward or answer
    endpoint = forward.endpoint if forward is not None else None
    return Record(
        Event.REQUEST,
        Reporter.WAYPOINT,
        source,
        _destination(endpoint, callee),
        tunnel=endpoint.tunnel if endpoint is not None else None,
        service=_service(callee),
        sent=outcome.sent,
        received=outcome.received,
        seconds=now - outcome.began,
        first_byte_seconds=outcome.first_byte - outcome.began if outcome.first_byte is not None else None,
        mutual_tls=True,
        refusal=outcome.refusal,
        policy=decided.policy if decided is not None else "",
        dry_run=decided.dry_run if decided is not None else "",
        audit=decided.audit if decided is not None else "",
        trace=outcome.step.own.trace if outcome.step is not None else _trace(outcome.request),
        step=outcome.step,
        http=_http(outcome, decided, endpoint),
    )


def of_connection(
    snapshot: Snapshot,
    here: Gateway,
    arrival: Arrival,
    callee: Callee | Refusal,
    event: Event,
    *,
    endpoint: Endpoint | None = None,
    refusal: Refusal | None = None,
    seconds: float = 0.0,
    sent: int = 0,
    received: int = 0,
    step: Step | None = None,
) -> Record:
    """The record of a connection whose content is opaque, or that was refused before it had any."""
    return Record(
        event,
        Reporter.WAYPOINT,
        source_of(snapshot, here, arrival),
        _destination(endpoint, callee),
        tunnel=endpoint.tunnel if endpoint is not None else None,
        service=_service(callee),
        sent=sent,
        received=received,
        seconds=seconds,
        mutual_tls=True,
        refusal=refusal,
        trace=step.own.trace if step is not None else "",
        step=step,
    )


def of_fault(
    snapshot: Snapshot, here: Gateway, address: Address, identity: Identity | None, refusal: Refusal
) -> Record:
    """The record of a failed handshake, by nobody that we know, or of a breach of HTTP/2."""
    source = Party(address, snapshot.workload_at(here.network, address.ip), identity)
    known = identity is not None
    return Record(Event.CLOSED, Reporter.WAYPOINT, source, Party(), mutual_tls=known, refusal=refusal)


def source_of(snapshot: Snapshot, here: Gateway, arrival: Arrival) -> Party:
    """Who sent it, as far as the snapshot knows."""
    return Party(arrival.address, snapshot.workload_at(here.network, arrival.address.ip), arrival.identity)


def _destination(endpoint: Endpoint | None, callee: Callee | Refusal) -> Party:
    if endpoint is not None:
        return endpoint.party
    return Party() if isinstance(callee, Refusal) else Party(callee.address, callee.workload)


def _service(callee: Callee | Refusal) -> str:
    return callee.service.key if not isinstance(callee, Refusal) and callee.service is not None else ""


def _trace(request: RequestHead | None) -> str:
    header = value(request.headers, TRACEPARENT) if request is not None else None
    parent = TraceContext.parse(header) if header is not None else None
    return parent.trace if parent is not None else ""


def _http(outcome: Outcome, decided: Forward | Answer | None, endpoint: Endpoint | None) -> HttpOutcome:
    request = outcome.request or RequestHead(b"", b"", b"")
    choice = decided.choice if decided is not None else None
    secret: frozenset[bytes] = decided.secret if decided is not None else frozenset()
    route = choice.route if choice is not None else None
    service = endpoint.service if endpoint is not None else None
    return HttpOutcome(
        method=request.method.decode("latin-1"),
        host=request.authority.decode("latin-1"),
        path=without_secrets(request.path, secret).decode("latin-1"),
        protocol="grpc" if is_grpc(request.headers) else "http",
        status=outcome.status,
        grpc_status=outcome.grpc_status,
        request_id=(value(request.headers, b"x-request-id") or b"").decode("latin-1"),
        route=f"{route.kind.value}/{route.namespace}/{route.name}#{choice.number}" if choice and route else "",
        backend=service.key if service is not None else "",
        delayed=outcome.forward.delay if outcome.forward is not None else 0.0,
    )
