"""How often something may be done: the generic cell rate algorithm (ITU-T I.371). Pure; the clock is handed in.

Of each holder one moment is kept: when it would be level with its rate. A holder that is level is as good as one that
was never seen, so that it may be forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from mesh.traffic import Rate

_MOST: Final = 16384
"""Holders that are remembered; the one that came longest ago is forgotten first."""
_NOISE: Final = 1e-9
"""Seconds by which sums of intervals may be off."""


class Meter:
    """Holders and when each is level with its rate."""

    __slots__ = ("_level", "_most")

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._level: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, holder: Hashable, rate: Rate, now: float) -> float:
        """Take one, and 0; or take none, and the seconds after which there is one to take."""
        interval = rate.interval
        # A rate that was made greater or smaller has the holder owe no more than a burst of the new one.
        level = min(max(self._level.get(holder, now), now), now + interval * rate.burst)
        early = level - now - interval * (rate.burst - 1)
        if early > _NOISE:
            self._level[holder] = level
            return early
        self._level[holder] = level + interval
        self._level.move_to_end(holder)
        if len(self._level) > self._most:
            self._level.popitem(last=False)
        return 0.0
