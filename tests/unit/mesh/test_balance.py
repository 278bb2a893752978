from __future__ import annotations

from mesh.balance import pick
from mesh.workload import Balancing, BalancingMode, Locality, LocalityScope, Workload


def pod(name: str, *, zone: str = "", node: str = "", healthy: bool = True, capacity: int = 1) -> Workload:
    return Workload(name, name, "shop", locality=Locality("r", zone), node=node, healthy=healthy, capacity=capacity)


def never() -> float:
    return 0.0


def test_only_healthy_endpoints_are_chosen_unless_all_count() -> None:
    sick = pod("sick", healthy=False)
    assert pick([sick], Balancing(), None, never) is None
    assert pick([sick], Balancing(unhealthy_too=True), None, never) == sick


def test_the_weight_decides_the_share() -> None:
    light, heavy = pod("light", capacity=1), pod("heavy", capacity=3)
    throws = [pick([light, heavy], Balancing(), None, lambda at=at: at / 100) for at in range(100)]
    assert throws.count(light) == 25
    assert throws.count(heavy) == 75


def test_failover_takes_the_nearest_there_are() -> None:
    source, near, far = pod("source", zone="a"), pod("near", zone="a"), pod("far", zone="b")
    balancing = Balancing((LocalityScope.REGION, LocalityScope.ZONE), BalancingMode.FAILOVER)
    assert pick([far, near], balancing, source, never) == near
    assert pick([far], balancing, source, never) == far


def test_strict_takes_the_same_node_or_nothing() -> None:
    source, here, there = pod("source", node="n1"), pod("here", node="n1"), pod("there", node="n2")
    balancing = Balancing((LocalityScope.NODE,), BalancingMode.STRICT)
    assert pick([there, here], balancing, source, never) == here
    assert pick([there], balancing, source, never) is None


def test_nothing_to_choose_from_is_nothing() -> None:
    assert pick([], Balancing(), None, never) is None
