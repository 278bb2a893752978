"""What a worker tells of one connection: the bare facts, which the supervisor completes to a record.

A worker cannot speak for another pod: its own side of the connection is filled in by who it is, not by what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mesh.address import Address
from mesh.identity import Identity
from mesh.record import Event, Party, Record, Reporter
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.trace import Step, TraceContext
from mesh.workload import Workload
from ztunnel.channel.fields import Fields
from ztunnel.channel.frames import ChannelError, Document


@dataclass(frozen=True, slots=True)
class Sighting:
    """One connection at one moment, as the worker at one of its ends saw it."""

    event: Event
    outbound: bool
    """The pod is the caller, not the callee."""
    source: Address | None = None
    destination: Address | None = None
    peer: Identity | None = None
    """Who proved to be at the other end."""
    endpoint: str = ""
    """The uid of the workload at the other end, where a plan chose it."""
    tunnel: Address | None = None
    service: str = ""
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    connect_seconds: float | None = None
    first_byte_seconds: float | None = None
    ending: str = ""
    mutual_tls: bool = False
    refusal: Refusal | None = None
    policy: str = ""
    dry_run: str = ""
    trace: str = ""
    step: Step | None = None
    moments: tuple[tuple[str, float], ...] = ()
    ended: int = 0
    """By the worker's clock, in nanoseconds since 1970; 0 where no span is made."""


MOST_MOMENTS: Final = 16
_LONGEST_MOMENT: Final = 32
_LATEST: Final = (1 << 63) - 1
_FIELDS: Final = tuple(Sighting.__dataclass_fields__)


def to_document(sighting: Sighting) -> dict[str, Any]:
    """For the channel; what is empty is left out."""
    document: dict[str, Any] = {
        "event": sighting.event.name,
        "outbound": sighting.outbound,
        "seconds": sighting.seconds,
    }
    for name in ("source", "destination", "peer", "tunnel"):
        if (value := getattr(sighting, name)) is not None:
            document[name] = str(value)
    for name in ("endpoint", "service", "sent", "received", "mutual_tls", "policy", "dry_run", "trace", "ending"):
        if value := getattr(sighting, name):
            document[name] = value
    for name in ("connect_seconds", "first_byte_seconds"):
        if (seconds := getattr(sighting, name)) is not None:
            document[name] = seconds
    if sighting.step is not None:
        document["step"] = {"own": sighting.step.own.encode().decode(), "parent": sighting.step.parent}
        document["moments"] = [list(one) for one in sighting.moments]
        document["ended"] = sighting.ended
    if sighting.refusal is not None:
        document["refusal"] = refusal_document(sighting.refusal)
    return document


def from_document(document: object) -> Sighting:
    """Read what a worker sent. Raises ChannelError."""
    fields = Fields("sighting", document, _FIELDS)
    return Sighting(
        event=fields.required("event", lambda name: Event[name]),
        outbound=fields.flag("outbound"),
        source=fields.optional("source", Address.parse),
        destination=fields.optional("destination", Address.parse),
        peer=fields.optional("peer", Identity.parse),
        endpoint=fields.text("endpoint", ""),
        tunnel=fields.optional("tunnel", Address.parse),
        service=fields.text("service", ""),
        sent=fields.number("sent", 0),
        received=fields.number("received", 0),
        seconds=fields.seconds("seconds"),
        connect_seconds=fields.optional("connect_seconds", _seconds),
        first_byte_seconds=fields.optional("first_byte_seconds", _seconds),
        ending=fields.text("ending", ""),
        mutual_tls=fields.flag("mutual_tls"),
        refusal=fields.optional("refusal", refusal_from),
        policy=fields.text("policy", ""),
        dry_run=fields.text("dry_run", ""),
        trace=fields.text("trace", ""),
        step=fields.optional("step", _step),
        moments=_moments(fields),
        ended=min(fields.number("ended", 0), _LATEST),
    )


def complete(sighting: Sighting, snapshot: Snapshot, own: Workload | None, identity: Identity, network: str) -> Record:
    """The record of a sighting by the worker of the pod `own`, whose certificate is for `identity`."""
    far_address = sighting.destination if sighting.outbound else sighting.source
    far = snapshot.workloads.get(sighting.endpoint)
    if far is None and far_address is not None:
        far = snapshot.workload_at(network, far_address.ip)
    mine = Party(sighting.source if sighting.outbound else sighting.destination, own, identity)
    other = Party(far_address, far, sighting.peer)
    return Record(
        event=sighting.event,
        reporter=Reporter.SOURCE if sighting.outbound else Reporter.DESTINATION,
        source=mine if sighting.outbound else other,
        destination=other if sighting.outbound else mine,
        tunnel=sighting.tunnel,
        service=sighting.service,
        sent=sighting.sent,
        received=sighting.received,
        seconds=sighting.seconds,
        connect_seconds=sighting.connect_seconds,
        first_byte_seconds=sighting.first_byte_seconds,
        ending=sighting.ending,
        mutual_tls=sighting.mutual_tls,
        refusal=sighting.refusal,
        policy=sighting.policy,
        dry_run=sighting.dry_run,
        trace=sighting.trace,
        step=sighting.step,
        moments=sighting.moments,
        ended=sighting.ended,
    )


def refusal_document(refusal: Refusal) -> Document:
    """A refusal for the channel."""
    return {"reason": refusal.reason.value, "detail": refusal.detail}


def refusal_from(document: object) -> Refusal:
    """Read a refusal. Raises ChannelError."""
    fields = Fields("refusal", document, ("reason", "detail"))
    by_name = {reason.value: reason for reason in Reason}
    return Refusal(fields.required("reason", by_name.__getitem__), fields.text("detail"))


def _step(document: object) -> Step:
    """The names of spans, which must be such for whoever is told of them."""
    fields = Fields("step", document, ("own", "parent"))
    own = TraceContext.parse(fields.text("own").encode())
    parent = fields.text("parent", "")
    if own is None or (parent and TraceContext.parse(f"00-{own.trace}-{parent}-00".encode()) is None):
        raise ChannelError("step names no span")
    return Step(own, parent)


def _moments(fields: Fields) -> tuple[tuple[str, float], ...]:
    found = fields.items("moments", _moment)
    if len(found) > MOST_MOMENTS:
        raise ChannelError(f"a sighting has {MOST_MOMENTS} moments at most")
    return found


def _moment(document: object) -> tuple[str, float]:
    if not isinstance(document, list) or len(document) != 2 or not isinstance(document[0], str):
        raise ChannelError("a moment is a name and a duration")
    name, after = document
    return name[:_LONGEST_MOMENT], Fields("moment", {"after": after}, ("after",)).seconds("after")


def _seconds(value: object) -> float:
    return Fields("sighting", {"first_byte_seconds": value}, ("first_byte_seconds",)).seconds("first_byte_seconds")
