"""Which endpoint gets the next connection: only usable ones, the nearest first, by weight among equals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mesh.workload import Balancing, BalancingMode, LocalityScope, Workload

Dice = Callable[[], float]
"""A source of chance: each call gives a number from 0 (included) to 1 (excluded)."""


def usable(endpoints: Iterable[Workload], balancing: Balancing) -> tuple[Workload, ...]:
    """The endpoints that may be chosen at all."""
    return tuple(one for one in endpoints if (one.healthy or balancing.unhealthy_too) and one.capacity > 0)


def pick(endpoints: Iterable[Workload], balancing: Balancing, source: Workload | None, dice: Dice) -> Workload | None:
    """Choose one endpoint for a call from `source`, or None when none is usable."""
    candidates = _nearest(usable(endpoints, balancing), balancing, source)
    return _weighted(candidates, dice)


def _nearest(candidates: tuple[Workload, ...], balancing: Balancing, source: Workload | None) -> tuple[Workload, ...]:
    if source is None or not candidates or balancing.mode not in {BalancingMode.STRICT, BalancingMode.FAILOVER}:
        return candidates
    ranks = [_rank(one, source, balancing.scopes) for one in candidates]
    wanted = len(balancing.scopes) if balancing.mode is BalancingMode.STRICT else max(ranks)
    return tuple(one for one, rank in zip(candidates, ranks, strict=True) if rank == wanted)


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


def _weighted(candidates: Sequence[Workload], dice: Dice) -> Workload | None:
    mark = dice() * sum(one.capacity for one in candidates)
    for one in candidates:
        mark -= one.capacity
        if mark < 0:
            return one
    return candidates[-1] if candidates else None
