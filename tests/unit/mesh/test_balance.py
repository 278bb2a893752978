from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mesh.balance import Dice, Tier, pick, tiers
from mesh.health import Health
from mesh.workload import Balancing, BalancingMode, Locality, LocalityScope, Workload

NEAR = Balancing((LocalityScope.REGION, LocalityScope.ZONE), BalancingMode.FAILOVER)


def pod(name: str, *, zone: str = "", node: str = "", healthy: bool = True, capacity: int = 1) -> Workload:
    return Workload(name, name, "shop", locality=Locality("r", zone), node=node, healthy=healthy, capacity=capacity)


def never() -> float:
    return 0.0


def one_of(endpoints: list[Workload], balancing: Balancing, source: Workload | None, dice: Dice) -> Workload | None:
    return pick(tiers(endpoints, balancing, source), dice)


def test_only_healthy_endpoints_are_chosen_unless_all_count() -> None:
    sick = pod("sick", healthy=False)
    assert one_of([sick], Balancing(), None, never) is None
    assert one_of([sick], Balancing(unhealthy_too=True), None, never) == sick


def test_the_weight_decides_the_share() -> None:
    light, heavy = pod("light", capacity=1), pod("heavy", capacity=3)
    throws = [one_of([light, heavy], Balancing(), None, lambda at=at: at / 100) for at in range(100)]
    assert throws.count(light) == 25
    assert throws.count(heavy) == 75


def test_failover_takes_the_nearest_there_are() -> None:
    source, near, far = pod("source", zone="a"), pod("near", zone="a"), pod("far", zone="b")
    assert one_of([far, near], NEAR, source, never) == near
    assert one_of([far], NEAR, source, never) == far


def test_strict_takes_the_same_node_or_nothing() -> None:
    source, here, there = pod("source", node="n1"), pod("here", node="n1"), pod("there", node="n2")
    balancing = Balancing((LocalityScope.NODE,), BalancingMode.STRICT)
    assert one_of([there, here], balancing, source, never) == here
    assert one_of([there], balancing, source, never) is None


def test_nothing_to_choose_from_is_nothing() -> None:
    assert one_of([], Balancing(), None, never) is None


def chosen(endpoints: list[Workload], health: Health, now: float, times: int = 1000) -> Counter[str]:
    """Who gets how many of so many connections that all begin in this moment."""
    choice, dice = tiers(endpoints, Balancing(), None), random.Random(7).random
    found = (pick(choice, dice, health, now) for _ in range(times))
    return Counter(one.name for one in found if one is not None)


def test_the_slow_endpoint_gets_less_until_it_is_forgotten_that_it_was_slow() -> None:
    pods = [pod("a"), pod("b"), pod("slow")]
    health = Health()
    for name, seconds in (("a", 0.010), ("b", 0.011), ("slow", 2.0)):
        health.opened(name, seconds, 100.0)
        health.closed(name)
    assert chosen(pods, health, 100.0)["slow"] == 0
    health.opened("a", 0.5, 160.0)
    health.closed("a")
    assert chosen(pods, health, 160.0)["slow"] > chosen(pods, health, 160.0)["a"]


def test_fast_endpoints_share_alike_however_fast_they_are() -> None:
    pods = [pod("a"), pod("b")]
    health = Health()
    for name, seconds in (("a", 0.0004), ("b", 0.004)):
        health.opened(name, seconds, 100.0)
        health.closed(name)
    assert chosen(pods, health, 100.0)["b"] > 450


def test_the_busy_endpoint_is_spared() -> None:
    health = Health()
    health.opened("busy", 0.001, 1.0)
    assert set(chosen([pod("busy"), pod("idle")], health, 1.0)) == {"idle"}
    health.closed("busy")
    assert set(chosen([pod("busy"), pod("idle")], health, 1.0)) == {"busy", "idle"}


def test_connections_that_stay_spread_by_capacity() -> None:
    pods = [pod("light", capacity=1), pod("heavy", capacity=3)]
    choice, dice, health = tiers(pods, Balancing(), None), random.Random(7).random, Health()
    for _ in range(400):
        found = pick(choice, dice, health, 5.0)
        assert found is not None
        health.opened(found.uid, 0.001, 5.0)
    assert (health.open("light"), health.open("heavy")) == (100, 300)


def test_failed_endpoints_are_passed_over_for_a_while_and_longer_each_time() -> None:
    pods = [pod("good"), pod("bad")]
    health = Health()
    health.failed("bad", 10.0)
    assert set(chosen(pods, health, 10.9)) == {"good"}
    assert set(chosen(pods, health, 11.1)) == {"good", "bad"}
    health.failed("bad", 11.1)
    assert set(chosen(pods, health, 13.0)) == {"good"}
    for _ in range(50):
        health.failed("bad", 20.0)
    assert set(chosen(pods, health, 50.1)) == {"good", "bad"}
    health.opened("bad", 0.001, 50.1)
    health.closed("bad")
    health.failed("bad", 50.2)
    assert set(chosen(pods, health, 51.3)) == {"good", "bad"}


def test_the_next_zone_is_used_when_all_near_endpoints_fail_and_no_longer() -> None:
    source, near, far = pod("source", zone="a"), pod("near", zone="a"), pod("far", zone="b")
    choice, health = tiers([far, near], NEAR, source), Health()
    assert pick(choice, never, health, 1.0) == near
    health.failed("near", 1.0)
    assert pick(choice, never, health, 1.5) == far
    health.failed("far", 1.5)
    assert pick(choice, never, health, 1.6) == near, "when all fail, one of them is tried all the same"
    assert pick(choice, never, health, 1.6, {"near"}) == far
    assert pick(choice, never, health, 1.6, {"near", "far"}) is None
    assert pick(choice, never, health, 2.1) == near


def test_strict_never_spills_over() -> None:
    source, here, there = pod("source", node="n1"), pod("here", node="n1"), pod("there", node="n2")
    choice = tiers([here, there], Balancing((LocalityScope.NODE,), BalancingMode.STRICT), source)
    health = Health()
    health.failed("here", 1.0)
    assert pick(choice, never, health, 1.0) == here
    assert pick(choice, never, health, 1.0, {"here"}) is None


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=8),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
)
def test_two_draws_are_two_members(capacities: list[int], first: float, second: float) -> None:
    tier = Tier(tuple(pod(str(number), capacity=one) for number, one in enumerate(capacities)))
    throws = iter((first, second))
    one, other = tier.two(lambda: next(throws))
    assert one != other
    assert {one, other} <= set(tier.members)


def test_what_is_remembered_is_bounded_and_those_in_use_are_kept() -> None:
    health = Health(most=3)
    health.opened("in use", 0.1, 0.0)
    for number in range(100):
        health.failed(str(number), 0.0)
    assert health.open("in use") == 1
    assert health.passed_over(0.5) == {"98", "99"}


def test_an_answer_that_never_came_weighs_as_long_as_it_was_waited_for() -> None:
    health = Health()
    for name in ("quick", "stuck"):
        health.opened(name, 0.01, 1.0)
        health.closed(name)
    health.began("stuck")
    health.late("stuck", 2.0, 3.0)
    health.closed("stuck")
    assert set(chosen([pod("quick"), pod("stuck")], health, 3.0)) == {"quick"}
    assert health.open("stuck") == 0


def test_only_an_answer_ends_a_row_of_failures() -> None:
    health = Health()
    health.failed("bad", 10.0)
    health.late("bad", 1.0, 12.0)
    health.failed("bad", 13.0)
    assert health.passed_over(14.5) == {"bad"}
    health.began("bad")
    assert health.passed_over(14.5) == {"bad"}
    health.answered("bad", 0.01, 14.6)
    assert health.passed_over(14.6) == frozenset()
