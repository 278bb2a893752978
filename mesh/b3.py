"""The trace that a request belongs to, as Zipkin's B3 says it: in one field, or in several. Pure.

https://github.com/openzipkin/b3-propagation. Reading untrusted values never raises: ill-formed is as good as absent.
"""

from __future__ import annotations

import re
from typing import Final

from mesh.trace import SAMPLED, TraceContext

B3: Final = b"b3"
TRACE_ID: Final = b"x-b3-traceid"
SPAN_ID: Final = b"x-b3-spanid"
PARENT_ID: Final = b"x-b3-parentspanid"
WANTED: Final = b"x-b3-sampled"
FLAGS: Final = b"x-b3-flags"
FIELDS: Final = frozenset({B3, TRACE_ID, SPAN_ID, PARENT_ID, WANTED, FLAGS})

_IDS: Final = re.compile(rb"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})", re.IGNORECASE)
_SINGLE: Final = re.compile(
    rb"((?:[0-9a-f]{16}){1,2}-[0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?", re.IGNORECASE | re.ASCII
)
_DECISIONS: Final = {b"0": False, b"1": True, b"d": True, b"true": True, b"false": False}

Heard = tuple[TraceContext | None, bool | None]
"""The caller's span, and whether it wants the trace kept; None where it leaves that open."""


def read_single(value: bytes) -> Heard:
    """What the field `b3` says: `trace-span`, with the decision and the parent's id behind, or a decision alone."""
    if value in {b"0", b"1", b"d"}:
        return None, _DECISIONS[value]
    found = _SINGLE.fullmatch(value)
    return (None, None) if found is None else _heard(found[1], _DECISIONS.get((found[2] or b"").lower()))


def read_several(fields: dict[bytes, bytes]) -> Heard:
    """What the `x-b3-` fields say; a decision counts without ids as well."""
    wanted = True if fields.get(FLAGS) == b"1" else _DECISIONS.get(fields.get(WANTED, b"").lower())
    return _heard(b"-".join((fields.get(TRACE_ID, b""), fields.get(SPAN_ID, b""))), wanted)


def single(own: TraceContext) -> tuple[tuple[bytes, bytes], ...]:
    """The one field that tells the next of this span."""
    return ((B3, f"{own.trace}-{own.span}-{own.flags & SAMPLED}".encode("ascii")),)


def several(own: TraceContext) -> tuple[tuple[bytes, bytes], ...]:
    """The fields that tell the next of this span."""
    decision = b"1" if own.sampled else b"0"
    return ((TRACE_ID, own.trace.encode()), (SPAN_ID, own.span.encode()), (WANTED, decision))


def _heard(ids: bytes, wanted: bool | None) -> Heard:
    found = _IDS.fullmatch(ids)
    if found is None:
        return None, wanted
    trace, span = found[1].decode().lower().rjust(32, "0"), found[2].decode().lower()
    if not trace.strip("0") or not span.strip("0"):
        return None, wanted
    return TraceContext(trace, span, SAMPLED if wanted else 0), wanted
