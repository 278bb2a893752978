"""Endpoints as a service's TrafficPolicy has them chosen, and what has to be remembered for it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from mesh.balance import less_used, nearest, pick
from mesh.ring import Ring
from mesh.traffic import Spread

if TYPE_CHECKING:
    from mesh.balance import Dice, Tier
    from mesh.health import Health
    from mesh.workload import Workload
    from waypoint.endpoint import Ends

_RINGS: Final = 256
"""Rings that are kept; the one that was made longest ago is forgotten first."""
_TURNS: Final = 4096
"""Services, each by one port, whose turns are counted."""

_Members = tuple[tuple[str, int], ...]


class Balancer:
    """Of one process; all its conversations take turns together."""

    __slots__ = ("_rings", "_turns")

    def __init__(self) -> None:
        self._rings: OrderedDict[_Members, Ring] = OrderedDict()
        self._turns: dict[tuple[str, int], int] = {}

    def choose(
        self, ends: Ends, health: Health, now: float, dice: Dice, *, tried: frozenset[str], key: int | None
    ) -> Workload | None:
        """The endpoint for one request, or None. `key`: where on the ring the request is, if anywhere."""
        match ends.spread:
            case Spread.ROUND_ROBIN:
                tier = nearest(ends.tiers, health.passed_over(now), tried)
                return tier.turn(self._turn(ends.name)) if tier is not None else None
            case Spread.LEAST_REQUEST:
                tier = nearest(ends.tiers, health.passed_over(now), tried)
                return less_used(*tier.two(dice), health) if tier is not None else None
            case Spread.CONSISTENT_HASH if key is not None:
                return self._hashed(ends, key, health.passed_over(now), tried)
            case _:
                return pick(ends.tiers, dice, health, now, tried)

    def _turn(self, name: tuple[str, int]) -> int:
        if len(self._turns) >= _TURNS and name not in self._turns:
            self._turns.clear()
        turn = self._turns[name] = self._turns.get(name, -1) + 1
        return turn

    def _hashed(self, ends: Ends, key: int, failing: frozenset[str], tried: frozenset[str]) -> Workload | None:
        """The ring is that of all endpoints of a tier: one that fails for a while lends its share to the others."""
        for avoided in (failing | tried, tried):
            for number, tier in enumerate(ends.tiers):
                uid = self._ring(ends, number, tier).find(key, avoided)
                if uid is not None:
                    return next(one for one in tier.members if one.uid == uid)
        return None

    def _ring(self, ends: Ends, number: int, tier: Tier) -> Ring:
        found = ends.rings.get(number)
        if found is None:
            members = tuple((one.uid, one.capacity) for one in tier.members)
            found = self._rings.get(members)
            if found is None:
                found = self._rings[members] = Ring(members)
                if len(self._rings) > _RINGS:
                    self._rings.popitem(last=False)
            ends.rings[number] = found
        return found
