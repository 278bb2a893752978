"""What the keeper asks of the zygote, and what it answers: one JSON object per packet, in lock-step.

An order travels with descriptors: the pod's network namespace, its listeners (15001, 15006, 15008, and UDP and TCP
15053 for one or two address families) and the worker's end of a socket pair. There the keeper says `BEGIN` once it has
noted the worker, which ends if it never hears it: no worker serves that nobody knows of. There, too, the worker says
that it is ready.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_type_hints

from ztunnel.worker.start import Pod, Settings

_T = TypeVar("_T")

LARGEST_PACKET: Final = 16_384
DESCRIPTORS: Final = (7, 9)
"""How many there may be."""
BEGIN: Final = b"B"
_LARGEST_PID: Final = 1 << 22
"""PID_MAX_LIMIT of the kernel."""


class ForkError(ValueError):
    """A packet that is neither an order nor an answer; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Order:
    """Fork a worker for this pod, as this user."""

    pod: Pod
    uid: int
    supervisor: str
    """Path of the supervisor's socket."""
    settings: Settings


@dataclass(frozen=True, slots=True)
class Forked:
    """The worker runs; it is the keeper's child. Whether it can serve is said on its socket."""

    pid: int


@dataclass(frozen=True, slots=True)
class NotForked:
    """There is no worker, and why."""

    why: str


def encode(message: Order | Forked | NotForked) -> bytes:
    """The packet of an order or an answer."""
    return json.dumps({type(message).__name__: dataclasses.asdict(message)}).encode()


def parse_order(packet: bytes) -> Order:
    """Read an order; raises ForkError."""
    fields = _fields(packet, Order)
    return Order(
        pod=_build(Pod, fields.get("pod")),
        uid=_checked(fields, "uid", int),
        supervisor=_checked(fields, "supervisor", str),
        settings=_build(Settings, fields.get("settings")),
    )


def parse_answer(packet: bytes) -> Forked | NotForked:
    """Read an answer; raises ForkError."""
    try:
        pid = _checked(_fields(packet, Forked), "pid", int)
    except ForkError:
        return NotForked(_checked(_fields(packet, NotForked), "why", str))
    if not 1 < pid <= _LARGEST_PID:
        raise ForkError(f"{pid} is no worker's pid")
    return Forked(pid)


def _fields(packet: bytes, kind: type) -> dict[str, Any]:
    try:
        document = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise ForkError(f"a packet that is no JSON: {error}") from error
    fields = document.get(kind.__name__) if isinstance(document, dict) else None
    if not isinstance(fields, dict):
        raise ForkError(f"a packet without {kind.__name__}")
    return fields


def _checked(fields: dict[str, Any], name: str, kind: type[_T]) -> _T:
    value = fields.get(name)
    if type(value) is int and kind is float:
        value = float(value)
    if type(value) is not kind:
        raise ForkError(f"{name} is not of type {kind.__name__}: {value!r}")
    return value


def _build(kind: type[_T], fields: object) -> _T:
    if not isinstance(fields, dict):
        raise ForkError(f"no {kind.__name__}")
    types = get_type_hints(kind)
    if fields.keys() != types.keys():
        raise ForkError(f"{kind.__name__} has the fields {sorted(types)}, not {sorted(fields)}")
    return kind(**{name: _checked(fields, name, types[name]) for name in types})
