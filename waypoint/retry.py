"""Whether a request is sent once more after an attempt that failed. Pure.

Without a rule that asks for it only what nobody can have acted on is repeated. A rule's `retry` (Gateway API, GEP-1731)
asks for more: connections that fail or break, attempts that are too late, and the statuses that it names. Never after
the answer has begun, never when content has gone out that is not at hand any more, and never beyond the budget: where
most requests fail, repeating them all would be the worst that could be done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.balance import Dice
from mesh.route import Retry

_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Idempotent methods (RFC 9110, section 9.2.2)."""
_LONGEST_PAUSE: Final = 30.0
_TIMEOUT_STATUS: Final = 504


class Failure(Enum):
    """How an attempt failed."""

    UNREACHABLE = "no connection"
    UNPROCESSED = "the backend promises not to have acted on it"
    BROKEN = "broken off"
    LATE = "no answer in the time of one attempt"
    STATUS = "a status"


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt that failed."""

    number: int
    """From 1."""
    method: bytes
    failure: Failure
    status: int = 0
    reused: bool = False
    """The connection had served others before: it may have been dead already."""
    repeatable: bool = True
    """All content that has gone out is at hand to be sent a second time."""
    answered: bool = False
    """The answer has begun."""


def again(tried: Tried, retry: Retry | None, dice: Dice) -> float | None:
    """Seconds to wait before the next attempt; None when there is to be none.

    The pause doubles with every attempt, never below the rule's backoff, and up to half as much again by chance, so
    that callers who failed together do not come back together.
    """
    if tried.answered or not tried.repeatable:
        return None
    if tried.number == 1 and _unseen(tried):
        return 0.0
    if retry is None or tried.number > retry.attempts or not _asked(tried, retry):
        return None
    pause = retry.backoff * float(2 ** min(tried.number - 1, 16)) * (1 + dice() / 2)
    return max(retry.backoff, min(_LONGEST_PAUSE, pause))


def _unseen(tried: Tried) -> bool:
    """Nobody can have acted on it: the backend says so, or the connection was dead and asking twice is safe."""
    if tried.failure is Failure.UNPROCESSED:
        return True
    return tried.failure is Failure.BROKEN and tried.reused and tried.method in _REPEATABLE


def _asked(tried: Tried, retry: Retry) -> bool:
    match tried.failure:
        case Failure.STATUS:
            return tried.status in retry.codes
        case Failure.LATE:
            return _TIMEOUT_STATUS in retry.codes
        case _:
            return True


class Budgets:
    """How many requests of each service are being repeated: a fifth of those in progress, and three always.

    A TrafficPolicy may say how many instead.
    """

    SHARE: Final = 0.2
    LEAST: Final = 3

    def __init__(self) -> None:
        self._services: dict[str, _Budget] = {}

    def began(self, service: str) -> None:
        """A request that may be repeated is in progress."""
        self._services.setdefault(service, _Budget()).active += 1

    def spend(self, service: str, most: int | None = None) -> bool:
        """Repeat one of the service's requests, if the budget allows, or `most`; `ended` is to be told of it."""
        one = self._services[service]
        if one.repeated >= (max(self.LEAST, one.active * self.SHARE) if most is None else most):
            return False
        one.repeated += 1
        return True

    def ended(self, service: str, *, repeated: bool) -> None:
        """It is over; `repeated` says that the budget was spent on it."""
        one = self._services[service]
        one.active -= 1
        one.repeated -= repeated
        if not one.active:
            del self._services[service]


@dataclass(slots=True)
class _Budget:
    active: int = 0
    repeated: int = 0
