"""Which endpoint gets the next connection: the nearest first, by weight and latency among equals.

What follows from the configuration alone (`tiers`) is apart from what changes with every connection (`pick`), so that
it can be kept. Of two endpoints drawn by weight the better one is taken: the one with the lower product of latency and
use. So a slow endpoint gets little, and none gets everything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import gcd
from typing import Final

from mesh.health import NOTHING_LEARNED, Health
from mesh.workload import Balancing, BalancingMode, LocalityScope, Workload

_GOLDEN: Final = 0.618
"""Strides of this part of a round come to lie as evenly as can be."""

Dice = Callable[[], float]
"""A source of chance: each call gives a number from 0 (included) to 1 (excluded)."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Endpoints that are equally near."""

    members: tuple[Workload, ...]
    _marks: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The sums of the members' capacities up to each."""

    def __post_init__(self) -> None:
        """Add the capacities up once, for every draw."""
        object.__setattr__(self, "_marks", tuple(accumulate(one.capacity for one in self.members)))

    def without(self, uids: Collection[str]) -> Tier:
        """The tier less these members."""
        if not any(one.uid in uids for one in self.members):
            return self
        return Tier(tuple(one for one in self.members if one.uid not in uids))

    def two(self, dice: Dice) -> tuple[Workload, Workload]:
        """Two different members drawn by weight, or the only one twice. There must be one."""
        marks = self._marks
        at = bisect_right(marks, dice() * marks[-1], hi=len(marks) - 1)
        first = self.members[at]
        if len(marks) == 1:
            return first, first
        mark = dice() * (marks[-1] - first.capacity)
        if mark >= marks[at] - first.capacity:
            mark += first.capacity
        other = bisect_right(marks, mark, hi=len(marks) - 1)
        return first, self.members[other]

    def turn(self, number: int) -> Workload:
        """Whose turn it is: over as many turns as there is weight, each member as often as its own says.

        Turns of one member lie apart from each other: they are strides through the sums of weights.
        """
        total = self._marks[-1]
        if total == len(self.members):
            return self.members[number % total]
        stride = max(1, round(total * _GOLDEN))
        while gcd(stride, total) != 1:
            stride += 1
        return self.members[bisect_right(self._marks, number * stride % total)]


Tiers = tuple[Tier, ...]
"""The nearest first; none of them is empty."""


def tiers(endpoints: Iterable[Workload], balancing: Balancing, source: Workload | None) -> Tiers:
    """Those of the endpoints that a call from `source` may go to."""
    usable = tuple(one for one in endpoints if (one.healthy or balancing.unhealthy_too) and one.capacity > 0)
    if not usable:
        return ()
    if source is None or balancing.mode not in {BalancingMode.STRICT, BalancingMode.FAILOVER}:
        return (Tier(usable),)
    ranked: defaultdict[int, list[Workload]] = defaultdict(list)
    for one in usable:
        ranked[_rank(one, source, balancing.scopes)].append(one)
    if balancing.mode is BalancingMode.STRICT:
        near = ranked[len(balancing.scopes)]
        return (Tier(tuple(near)),) if near else ()
    return tuple(Tier(tuple(ranked[rank])) for rank in sorted(ranked, reverse=True))


def pick(
    choice: Tiers,
    dice: Dice,
    health: Health = NOTHING_LEARNED,
    now: float = 0.0,
    tried: Collection[str] = (),
) -> Workload | None:
    """Choose the endpoint for one connection, or None when there is none that was not `tried` (uids) before.

    A farther tier is chosen when all of the nearer ones failed lately; where all of all tiers did, that counts for
    nothing, for one of them might be well again.
    """
    tier = nearest(choice, health.passed_over(now), tried)
    return better(*tier.two(dice), health, now) if tier is not None else None


def nearest(choice: Tiers, failing: Collection[str], tried: Collection[str] = ()) -> Tier | None:
    """The endpoints among which `pick` chooses, all as good as each other; never none, but None."""
    if not failing and not tried:
        return choice[0] if choice else None
    for avoided in ({*failing, *tried}, tried):
        for tier in choice:
            left = tier.without(avoided)
            if left.members:
                return left
    return None


def less_used(one: Workload, other: Workload, health: Health) -> Workload:
    """The one with fewer connections or requests in progress by its weight; the first where that cannot be told."""
    return other if _use(other, health) < _use(one, health) else one


def better(one: Workload, other: Workload, health: Health, now: float) -> Workload:
    """The less loaded; the first where that cannot be told. What nobody has measured is not held against it."""
    if one is other:
        return one
    open_, latency = health.load(one.uid, now)
    other_open, other_latency = health.load(other.uid, now)
    load, other_load = 1 + open_ / one.capacity, 1 + other_open / other.capacity
    if latency is not None and other_latency is not None:
        load *= latency
        other_load *= other_latency
    return other if other_load < load else one


def _use(one: Workload, health: Health) -> float:
    return 1 + health.open(one.uid) / one.capacity


def _rank(endpoint: Workload, source: Workload, scopes: Sequence[LocalityScope]) -> int:
    """How many scopes, counted from the first, the two share."""
    for rank, scope in enumerate(scopes):
        if _within(endpoint, scope) != _within(source, scope):
            return rank
    return len(scopes)


def _within(workload: Workload, scope: LocalityScope) -> str:
    match scope:
        case LocalityScope.REGION:
            return workload.locality.region
        case LocalityScope.ZONE:
            return workload.locality.zone
        case LocalityScope.SUBZONE:
            return workload.locality.subzone
        case LocalityScope.NODE:
            return workload.node
        case LocalityScope.CLUSTER:
            return workload.cluster_id
        case LocalityScope.NETWORK:
            return workload.network
