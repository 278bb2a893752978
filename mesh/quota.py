"""A bounded number of something at once, of which no single holder gets more than its share. Pure.

Going over is refused, never queued: who takes everything must be the one who goes without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from mesh.refusal import Reason, Refusal


class Quota:
    """Counts what is in use, and by whom. `take` and `give` are paired by the caller.

    `share` is what one holder may have. Without it a holder may have as many as are left free: one alone gets half,
    two get a third each, and however many grasp for all of it, as much as any of them has is left for the next.
    """

    __slots__ = ("_held", "_limit", "_noun", "_share", "_used")

    def __init__(self, noun: str, limit: int, share: int | None = None) -> None:
        self._noun = noun
        self._limit = limit
        self._share = share
        self._used = 0
        self._held: Counter[Hashable] = Counter()

    @property
    def used(self) -> int:
        """How many are taken now."""
        return self._used

    def take(self, holder: Hashable) -> Refusal | None:
        """Take one for `holder`; a Refusal when it has its share, or when all are in use."""
        held, free = self._held.get(holder, 0), self._limit - self._used
        if free <= 0:
            return Refusal(Reason.OVER_BUDGET, f"{self._limit} {self._noun} are in progress: all there are")
        if held >= (free if self._share is None else self._share):
            return Refusal(Reason.OVER_BUDGET, f"{held} {self._noun} of {holder} are in progress: its share")
        self._used += 1
        self._held[holder] += 1
        return None

    def give(self, holder: Hashable) -> None:
        """Give one back."""
        self._used -= 1
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]
