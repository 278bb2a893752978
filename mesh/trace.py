"""The trace that a connection or request belongs to, as W3C Trace Context says it (traceparent, tracestate). Pure.

Reading untrusted values never raises: a `traceparent` that is not well-formed is as good as absent, and a `tracestate`
counts only beside a good `traceparent` (sections 3.2 and 3.3; https://www.w3.org/TR/trace-context-2/).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"

SAMPLED: Final = 0x01
RANDOM: Final = 0x02
"""The right half of the trace id is random; from level 2 on."""

_KNOWN_FLAGS: Final = SAMPLED | RANDOM
_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_LONGEST_TRACEPARENT: Final = 512
_MEMBERS: Final = 32
_LONGEST_STATE: Final = 512
"""Characters; section 3.3.1.5 asks that this much be carried."""
_MEMBER: Final = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)

RandomBytes = Callable[[int], bytes]
"""As many random bytes; they name things and keep no secret."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span as others are told of it."""

    trace: str
    """32 hexadecimal digits, not all zero."""
    span: str
    """16 hexadecimal digits, not all zero."""
    flags: int = 0
    state: str = ""
    """What vendors keep of the trace: the value of `tracestate`."""

    @property
    def sampled(self) -> bool:
        """Whether who made the span keeps it."""
        return bool(self.flags & SAMPLED)

    @classmethod
    def of(cls, random: bytes, *, sampled: bool = False) -> TraceContext:
        """The first span of a new trace, from 24 random bytes."""
        return cls(random[:16].hex(), random[16:24].hex(), SAMPLED if sampled else 0)

    def encode(self) -> bytes:
        """The value of `traceparent`, version 00; flags that are not known here are not passed on (section 3.2.2.5)."""
        return f"00-{self.trace}-{self.span}-{self.flags & _KNOWN_FLAGS:02x}".encode("ascii")

    @classmethod
    def parse(cls, value: bytes, state: str = "") -> TraceContext | None:
        """What `traceparent` says.

        A later version may say more behind a dash, of which the part that is known counts; version ff is none.
        """
        found = _TRACEPARENT.fullmatch(value) if len(value) <= _LONGEST_TRACEPARENT else None
        if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5] is not None):
            return None
        trace, span = found[2].decode(), found[3].decode()
        if not trace.strip("0") or not span.strip("0"):
            return None
        return cls(trace, span, int(found[4], 16) & _KNOWN_FLAGS, state)


def tracestate(values: list[bytes]) -> str:
    """All `tracestate` fields of a message as one list; nothing if any member is ill-formed, or there are too many."""
    text = b",".join(values).decode("latin-1")
    if len(text) > _LONGEST_STATE:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > _MEMBERS or len(keys) < len(members) or not all(map(_MEMBER.fullmatch, members)):
        return ""
    return ",".join(members)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a record stands in its trace: the span that it becomes, and the one before."""

    own: TraceContext
    parent: str = ""
    """The id of the span that this one continues; empty for the first."""
    link: TraceContext | None = None
    """The connection that carried it, where that is of another trace."""
