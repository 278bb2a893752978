"""Conditions, as Kubernetes objects report them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of an object: whether it holds, the reason as one word, and a message for people."""

    type: str
    holds: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Moment:
    """When a status is written (RFC 3339, UTC), for conditions that change in it."""

    now: str

    def written(
        self, conditions: Iterable[Condition], generation: int, former: Iterable[dict[str, Any]] | None
    ) -> list[dict[str, Any]]:
        """Conditions as they stand in an object; one whose status did not change keeps its transition time.

        `former` is the list of conditions as it was written last.
        """
        times = {
            (one.get("type"), one.get("status")): one["lastTransitionTime"]
            for one in former or ()
            if one.get("lastTransitionTime")
        }
        return [
            {
                "type": one.type,
                "status": str(one.holds),
                "reason": one.reason,
                "message": one.message,
                "observedGeneration": generation,
                "lastTransitionTime": times.get((one.type, str(one.holds)), self.now),
            }
            for one in conditions
        ]
