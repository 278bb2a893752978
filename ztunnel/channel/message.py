"""Every message between a worker and its supervisor, to and from its document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mesh.address import IP, parse_ip
from mesh.document import policy_from, service_from, to_document, workload_from
from mesh.policy import Policy
from mesh.refusal import Refusal
from mesh.snapshot import Change, Drop, Put
from mesh.workload import Service, Workload
from ztunnel.channel import naming as namings
from ztunnel.channel import sighting as sightings
from ztunnel.channel.fields import Fields
from ztunnel.channel.frames import ChannelError, Document
from ztunnel.channel.naming import Naming
from ztunnel.channel.sighting import Sighting

MOST_DESTINATIONS: Final = 4096
"""Addresses that a worker may be kept up to date about at a time."""

MOST_NAMES: Final = 1024
"""Names that a worker may wait for at a time."""

LONGEST_NAME: Final = 1024
"""Characters: 255 octets (RFC 1035, section 2.3.4), of which the strangest are written as four."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Worker: tell me what lies at these addresses, and keep telling me. The first message on every connection."""

    destinations: tuple[IP, ...] = ()


@dataclass(frozen=True, slots=True)
class Forget:
    """Worker: I no longer care about these addresses."""

    destinations: tuple[IP, ...]


@dataclass(frozen=True, slots=True)
class Sign:
    """Worker: have this certificate request signed (PEM). One at a time."""

    csr: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Worker: my certificate is good until then (Unix time, whole seconds). Whoever watches the node is to see it."""

    until: int


@dataclass(frozen=True, slots=True)
class Report:
    """Worker: this happened. `dropped` counts what could not be told before it."""

    sighting: Sighting
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Resolve:
    """Worker: what is this host name to my pod? Lower case, without a final dot. Answered once, by `Resolved`."""

    name: str


@dataclass(frozen=True, slots=True)
class Update:
    """Supervisor: what changed of the things that concern the worker."""

    own: str | None
    """The uid of the worker's own workload, None while the mesh does not know the pod."""
    changes: tuple[Change, ...] = ()
    answered: tuple[IP, ...] = ()
    """Addresses of which everything is known now; what is not there then does not exist."""
    whole: bool = False
    """All that the worker had before is void."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Supervisor: the certificate chain and the roots, PEM."""

    chain: str
    roots: str


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Supervisor: no certificate was to be had now."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Resolved:
    """Supervisor: what a name is. One that is not known is somebody else's to answer."""

    name: str
    known: bool = False
    alias: str = ""
    """The name that really has the addresses, where another was asked for."""
    addresses: tuple[IP, ...] = ()


FromWorker = Ask | Forget | Sign | Hold | Report | Resolve | Naming


@dataclass(frozen=True, slots=True)
class Revoked:
    """Supervisor: these revocation lists are in force now (PEM); none if empty."""

    lists: str


FromSupervisor = Update | Signed | Unsigned | Resolved | Revoked

_KINDS: Final[dict[str, tuple[type[Any], Callable[[Any], Any]]]] = {
    "workload": (Workload, workload_from),
    "service": (Service, service_from),
    "policy": (Policy, policy_from),
}
_NAMES: Final = {kind: name for name, (kind, _) in _KINDS.items()}


def to_supervisor(message: FromWorker) -> Document:  # noqa: PLR0911 -- one for each message
    """A worker's message for the channel: one key, which says what it is."""
    match message:
        case Ask(destinations):
            return {"ask": {"destinations": [str(ip) for ip in destinations]}}
        case Forget(destinations):
            return {"forget": {"destinations": [str(ip) for ip in destinations]}}
        case Sign(csr):
            return {"sign": {"csr": csr}}
        case Hold(until):
            return {"hold": {"until": until}}
        case Report(sighting, dropped):
            return {"report": {"sighting": sightings.to_document(sighting), "dropped": dropped}}
        case Resolve(name):
            return {"resolve": {"name": name}}
        case Naming():
            return {"naming": namings.to_document(message)}


def to_worker(message: FromSupervisor) -> Document:
    """The supervisor's message for the channel."""
    match message:
        case Update(own, changes, answered, whole):
            body = {
                "own": own,
                "changes": [_change_document(one) for one in changes],
                "answered": [str(ip) for ip in answered],
                "whole": whole,
            }
            return {"update": body}
        case Revoked(lists):
            return {"revoked": {"lists": lists}}
        case Signed(chain, roots):
            return {"signed": {"chain": chain, "roots": roots}}
        case Unsigned(refusal):
            return {"unsigned": {"refusal": sightings.refusal_document(refusal)}}
        case Resolved(name, known, alias, addresses):
            found = [str(ip) for ip in addresses]
            return {"resolved": {"name": name, "known": known, "alias": alias, "addresses": found}}


def from_worker(document: Document) -> FromWorker:  # noqa: PLR0911 -- one for each message
    """Read what a worker said. Raises ChannelError."""
    kind, body = _only(document)
    match kind:
        case "ask":
            return Ask(_destinations(kind, body))
        case "forget":
            return Forget(_destinations(kind, body))
        case "sign":
            return Sign(Fields(kind, body, ("csr",)).text("csr"))
        case "hold":
            return Hold(Fields(kind, body, ("until",)).number("until", 0))
        case "report":
            fields = Fields(kind, body, ("sighting", "dropped"))
            return Report(fields.required("sighting", sightings.from_document), fields.number("dropped", 0))
        case "resolve":
            return Resolve(Fields(kind, body, ("name",)).required("name", _name))
        case "naming":
            return namings.from_document(body)
        case _:
            raise ChannelError(f"a worker says no {kind!r}")


def from_supervisor(document: Document) -> FromSupervisor:
    """Read what the supervisor said. Raises ChannelError."""
    kind, body = _only(document)
    match kind:
        case "update":
            fields = Fields(kind, body, ("own", "changes", "answered", "whole"))
            return Update(
                fields.optional("own", _text),
                fields.items("changes", _change),
                fields.items("answered", parse_ip),
                fields.flag("whole"),
            )
        case "signed":
            fields = Fields(kind, body, ("chain", "roots"))
            return Signed(fields.text("chain"), fields.text("roots"))
        case "revoked":
            return Revoked(Fields(kind, body, ("lists",)).text("lists"))
        case "unsigned":
            return Unsigned(Fields(kind, body, ("refusal",)).required("refusal", sightings.refusal_from))
        case "resolved":
            fields = Fields(kind, body, ("name", "known", "alias", "addresses"))
            name, alias = fields.text("name"), fields.text("alias", "")
            return Resolved(name, fields.flag("known"), alias, fields.items("addresses", parse_ip))
        case _:
            raise ChannelError(f"a supervisor says no {kind!r}")


def _only(document: Document) -> tuple[str, object]:
    if len(document) != 1:
        raise ChannelError(f"a message says one thing, this one {len(document)}")
    return next(iter(document.items()))


def _destinations(kind: str, body: object) -> tuple[IP, ...]:
    found = Fields(kind, body, ("destinations",)).items("destinations", lambda text: parse_ip(_text(text)))
    if len(found) > MOST_DESTINATIONS:
        raise ChannelError(f"{len(found)} destinations at once are too many")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ChannelError(f"{value!r} is no text")
    return value


def _name(value: object) -> str:
    name = _text(value)
    if not 0 < len(name) <= LONGEST_NAME:
        raise ChannelError(f"a name of {len(name)} characters")
    return name


def _change_document(change: Change) -> Document:
    if isinstance(change, Drop):
        return {"drop": _NAMES[change.kind], "key": change.key}
    return {"put": _NAMES[type(change.resource)], "resource": to_document(change.resource)}


def _change(document: object) -> Change:
    fields = Fields("change", document, ("put", "drop", "key", "resource"))
    dropped = fields.optional("drop", _KINDS.__getitem__)
    if dropped is not None:
        return Drop(dropped[0], fields.text("key"))
    _, read = fields.required("put", _KINDS.__getitem__)
    return Put(fields.required("resource", read))
