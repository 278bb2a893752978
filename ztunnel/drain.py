"""How long connections may go on after their worker was told to take no more. Pure.

A worker is relieved (SIGUSR1) when another serves its pod: it has long. It is told to end (SIGTERM) when its pod leaves
or its node stops: it has a moment. Told to end twice, it ends at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

DEFAULT_SECONDS: Final = 5.0
"""Where neither a deadline nor a grace period is given; as Istio's ztunnel."""


class Word(Enum):
    """What a worker is told."""

    RELIEVED = "another serves the pod"
    END = "end"


@dataclass(frozen=True, slots=True)
class Drain:
    """A worker that takes no more connections."""

    deadline: float
    """When those that live are ended, in seconds of the clock that was given."""
    ending: bool
    """Whether it was told to end."""


def heard(before: Drain | None, word: Word, now: float, *, relieved: float, ending: float) -> Drain:
    """What a word makes of a worker; `relieved` and `ending` are the seconds that each leaves. None ever adds time."""
    if before is None:
        seconds = ending if word is Word.END else relieved
        return Drain(now + seconds, word is Word.END)
    if word is Word.RELIEVED:
        return before
    return Drain(now if before.ending else min(before.deadline, now + ending), ending=True)


def seconds_to_end(deadline: float | None, grace: float | None) -> float:
    """What told to end means, from CONNECTION_TERMINATION_DEADLINE and TERMINATION_GRACE_PERIOD_SECONDS.

    Without the first, the second less what the rest of the shutdown takes, but at least a second.
    """
    if deadline is not None:
        return deadline
    if grace is None:
        return DEFAULT_SECONDS
    return grace - 5 if grace > 10 else max(1.0, grace - 1)
