"""Endpoints as a service's TrafficPolicy has them chosen, and what has to be remembered for it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Final

from mesh.balance import better, less_used, nearest
from mesh.ring import Ring
from mesh.traffic import Spread
from waypoint.outliers import Outliers

if TYPE_CHECKING:
    from mesh.balance import Dice, Tier
    from mesh.health import Health
    from mesh.workload import Workload
    from waypoint.endpoint import Ends

_RINGS: Final = 256
"""Rings that are kept; the one that was made longest ago is forgotten first."""
_TURNS: Final = 4096
"""Services, each by one port, whose turns are counted."""

_NEWCOMERS: Final = 4096
"""Services, each by one port, whose endpoints are known by when they came."""
_LEAST: Final = 0.1
"""The share of its share with which a new endpoint begins."""

_NOBODY: Final[frozenset[str]] = frozenset()

_Members = tuple[tuple[str, int], ...]


class Balancer:
    """Of one process; all its conversations take turns together."""

    __slots__ = ("_came", "_rings", "_turns", "outliers")

    def __init__(self) -> None:
        self.outliers = Outliers()
        self._rings: OrderedDict[_Members, Ring] = OrderedDict()
        self._turns: dict[tuple[str, int], int] = {}
        self._came: OrderedDict[tuple[str, int], dict[str, float]] = OrderedDict()
        """When each endpoint was met first, by uid; those that were there from the beginning are no newcomers."""

    def choose(
        self, ends: Ends, health: Health, now: float, dice: Dice, *, tried: frozenset[str], key: int | None
    ) -> Workload | None:
        """The endpoint for one request, or None. `key`: where on the ring the request is, if anywhere."""
        failing = self._passed_over(ends, health, now)
        if ends.spread is Spread.CONSISTENT_HASH and key is not None:
            return self._hashed(ends, key, failing, tried)
        tier = nearest(ends.tiers, failing | self._spared(ends, now, dice), tried)
        if tier is None:
            return None
        match ends.spread:
            case Spread.ROUND_ROBIN:
                return tier.turn(self._turn(ends.name))
            case Spread.LEAST_REQUEST:
                return less_used(*tier.two(dice), health)
            case _:
                return better(*tier.two(dice), health, now)

    def meet(self, ends: Ends, now: float) -> None:
        """These are a service's endpoints now: those that were not there before are new."""
        former = self._came.pop(ends.name, None)
        known = former if former is not None else {}
        came = now if former is not None else -inf
        uids = (one.uid for tier in ends.tiers for one in tier.members)
        self._came[ends.name] = {uid: known.get(uid, came) for uid in uids}
        if len(self._came) > _NEWCOMERS:
            self._came.popitem(last=False)

    def _passed_over(self, ends: Ends, health: Health, now: float) -> frozenset[str]:
        """Those that fail or are outliers, unless so many are that panic is due."""
        failing = health.passed_over(now)
        rule = ends.terms.outliers if ends.terms is not None else None
        if rule is None:
            return failing
        failing |= self.outliers.ejected(ends.name[0], now)
        if failing and rule.panic_percent:
            usable = ends.usable
            left = usable - sum(one.uid in failing for tier in ends.tiers for one in tier.members)
            if left * 100 < rule.panic_percent * usable:
                return _NOBODY
        return failing

    def _spared(self, ends: Ends, now: float, dice: Dice) -> frozenset[str]:
        """The newcomers that this request is not for: at first most requests are not, then ever more are."""
        window = ends.balancing.slow_start if ends.balancing is not None else 0.0
        if not window:
            return _NOBODY
        ages = ((uid, now - came) for uid, came in self._came.get(ends.name, {}).items())
        return frozenset(uid for uid, age in ages if age < window and dice() >= max(_LEAST, age / window))

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
