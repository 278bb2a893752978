"""What a worker tells of one question for a name, for the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ztunnel.channel.fields import Fields
from ztunnel.channel.frames import Document


class Outcome(Enum):
    """What became of a question."""

    ANSWERED = "answered"
    """From what the mesh knows."""
    FORWARDED = "forwarded"
    FAILED = "failed"
    """It was forwarded, and nobody answered."""
    REFUSED = "refused"
    """It could not be read, or was one too many."""
    ON_DEMAND = "on-demand"
    """The worker itself asked, for an endpoint of which only a host name is known."""


@dataclass(frozen=True, slots=True)
class Naming:
    """One question. `seconds` is how long those who were asked took."""

    outcome: Outcome
    kind: str = "other"
    """The type asked for, `A` or `AAAA`; all others count as one."""
    protocol: str = "udp"
    seconds: float = 0.0


_KINDS: Final = frozenset({"A", "AAAA", "other"})
_PROTOCOLS: Final = frozenset({"udp", "tcp"})


def to_document(naming: Naming) -> Document:
    """For the channel."""
    return {
        "outcome": naming.outcome.value,
        "kind": naming.kind,
        "protocol": naming.protocol,
        "seconds": naming.seconds,
    }


def from_document(document: object) -> Naming:
    """Read what a worker sent; nothing but the known words gets into a metric. Raises ChannelError."""
    fields = Fields("naming", document, tuple(Naming.__dataclass_fields__))
    return Naming(
        outcome=fields.required("outcome", Outcome),
        kind=fields.required("kind", lambda text: _known(text, _KINDS)),
        protocol=fields.required("protocol", lambda text: _known(text, _PROTOCOLS)),
        seconds=fields.seconds("seconds"),
    )


def _known(text: str, words: frozenset[str]) -> str:
    if text not in words:
        raise ValueError(f"{text!r} is none of {', '.join(sorted(words))}")
    return text
