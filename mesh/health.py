"""What one proxy has learned of the endpoints that it called: how fast they answer, how busy they are, who fails.

Latency is a peak-sensitive moving average: a slow answer counts at once and in full, and is forgotten gradually, so
that an endpoint that was avoided is tried again. An endpoint that fails is passed over for a second, twice as long
after every further failure, until it answers. Times are seconds of one clock, handed in. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from math import exp
from typing import Final

LATENCY_FLOOR: Final = 0.005
"""Seconds; what answers faster than this is called equally fast, or noise would decide between good endpoints."""
_MEMORY: Final = 10.0
"""Seconds after which an old latency weighs 1/e."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_MOST: Final = 4096
"""Endpoints that are remembered; those longest unused are forgotten first."""


class _Standing:
    """One endpoint's."""

    __slots__ = ("at", "failures", "latency", "open", "until")

    def __init__(self) -> None:
        self.open = 0
        self.failures = 0
        self.until = 0.0
        self.latency: float | None = None
        self.at = 0.0


class Health:
    """Endpoints by uid. Whoever makes a connection tells of `opened` and `closed` in pairs, or of `failed`.

    Whoever asks over connections that are kept tells of each request: `began`, then `answered`, `late` or `failed`, and
    `closed` at its end.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: OrderedDict[str, _Standing] = OrderedDict()
        self._failing: set[str] = set()

    def opened(self, uid: str, seconds: float, now: float) -> None:
        """A connection to it was made within so many seconds."""
        self.began(uid)
        self.answered(uid, seconds, now)

    def began(self, uid: str) -> None:
        """It is being asked something, and has not answered yet."""
        self._standing(uid).open += 1

    def answered(self, uid: str, seconds: float, now: float) -> None:
        """Its answer began so many seconds after it was asked: it does not fail."""
        one = self._standing(uid)
        one.failures = 0
        self._failing.discard(uid)
        _measure(one, seconds, now)

    def late(self, uid: str, seconds: float, now: float) -> None:
        """It was given up after so many seconds without an answer."""
        _measure(self._standing(uid), seconds, now)

    def closed(self, uid: str) -> None:
        """A connection to it, or a request, has ended."""
        one = self._known.get(uid)
        if one is not None and one.open:
            one.open -= 1

    def failed(self, uid: str, now: float) -> None:
        """No connection to it could be made."""
        one = self._standing(uid)
        one.until = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(one.failures, 16))
        one.failures += 1
        self._failing.add(uid)

    def passed_over(self, now: float) -> frozenset[str]:
        """Those that failed lately."""
        if not self._failing:
            return frozenset()
        return frozenset(uid for uid in self._failing if self._known[uid].until > now)

    def latency(self, uid: str, now: float) -> float | None:
        """Seconds that it is believed to take for an answer; None while nothing is known of it."""
        return self.load(uid, now)[1]

    def open(self, uid: str) -> int:
        """Connections to it, or requests, that live."""
        one = self._known.get(uid)
        return one.open if one is not None else 0

    def load(self, uid: str, now: float) -> tuple[int, float | None]:
        """`open` and `latency` in one, for whoever compares endpoints for every request."""
        one = self._known.get(uid)
        if one is None:
            return 0, None
        faded = _faded(one, now)
        return one.open, None if faded is None else max(faded, LATENCY_FLOOR)

    def _standing(self, uid: str) -> _Standing:
        one = self._known.get(uid)
        if one is None:
            if len(self._known) >= self._most:
                self._forget()
            one = self._known[uid] = _Standing()
        self._known.move_to_end(uid)
        return one

    def _forget(self) -> None:
        """Those with connections are kept: their number is bounded elsewhere, and they would be counted wrongly."""
        idle = next((uid for uid, one in self._known.items() if not one.open), None)
        if idle is not None:
            del self._known[idle]
            self._failing.discard(idle)


NOTHING_LEARNED: Final = Health()
"""What is known before the first call; nobody tells it anything."""


def _measure(one: _Standing, seconds: float, now: float) -> None:
    faded = _faded(one, now)
    if faded is None or one.latency is None or seconds >= faded:
        one.latency = seconds
    else:
        old = exp(-max(0.0, now - one.at) / _MEMORY)
        one.latency = one.latency * old + seconds * (1 - old)
    one.at = now


def _faded(one: _Standing, now: float) -> float | None:
    if one.latency is None:
        return None
    age = now - one.at
    return one.latency * exp(-age / _MEMORY) if age > 0 else one.latency
