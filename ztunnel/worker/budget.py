"""A bounded number of something at once; going over it is refused, never queued."""

from __future__ import annotations

from mesh.refusal import Reason, Refusal


class Budget:
    """Counts what is in use. `take` and `give` are paired by the caller."""

    __slots__ = ("_noun", "_used", "limit")

    def __init__(self, noun: str, limit: int) -> None:
        self._noun = noun
        self._used = 0
        self.limit = limit

    @property
    def used(self) -> int:
        """How many are taken now."""
        return self._used

    def take(self) -> Refusal | None:
        """Take one; a Refusal when all are in use."""
        if self._used >= self.limit:
            return Refusal(Reason.OVER_BUDGET, f"{self.limit} {self._noun} are in use, this worker takes no more")
        self._used += 1
        return None

    def give(self) -> None:
        """Give one back."""
        self._used -= 1
