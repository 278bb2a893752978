"""The meter of rates, against what a rate promises: whatever the moments at which requests come."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from mesh.traffic import Rate
from waypoint.ratelimit import Meter

rates = st.builds(Rate, st.integers(1, 50), st.sampled_from([0.1, 1.0, 7.0, 60.0]), st.integers(1, 30))
pauses = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.1), st.floats(0, 10)), max_size=120)


@given(rates, pauses)
def test_no_stretch_of_time_sees_more_than_the_burst_and_the_rate(rate: Rate, between: list[float]) -> None:
    meter = Meter()
    taken = [now for now in accumulate(between) if not meter.wait("a", rate, now)]
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= rate.burst + (taken[last] - start) / rate.interval + 1e-6


@given(rates, pauses)
def test_who_keeps_to_the_rate_is_never_refused(rate: Rate, more: list[float]) -> None:
    meter, now = Meter(), 0.0
    for extra in more:
        assert not meter.wait("a", rate, now)
        now += rate.interval + extra


@given(rates, pauses)
def test_who_waits_as_long_as_told_is_served_and_not_sooner(rate: Rate, between: list[float]) -> None:
    meter, now = Meter(), 0.0
    for pause in between:
        now += pause
        seconds = meter.wait("a", rate, now)
        if seconds:
            assert meter.wait("a", rate, now + seconds / 2) > 0
            now += seconds
            assert not meter.wait("a", rate, now)


@given(rates, st.integers(1, 40))
def test_holders_have_nothing_to_do_with_each_other(rate: Rate, holders: int) -> None:
    meter = Meter()
    for _ in range(rate.burst):
        assert [meter.wait(number, rate, 5.0) for number in range(holders)] == [0.0] * holders
    assert all(meter.wait(number, rate, 5.0) for number in range(holders))


def test_a_changed_rate_holds_from_the_next_request_on() -> None:
    meter, slow, fast = Meter(), Rate(1, 3600.0, 10), Rate(10, 1.0, 1)
    for _ in range(10):
        assert not meter.wait("a", slow, 0.0)
    assert meter.wait("a", slow, 0.0) == 3600.0
    assert 0 < meter.wait("a", fast, 0.0) <= fast.interval
    assert not meter.wait("a", fast, fast.interval)


def test_of_too_many_holders_the_one_that_came_longest_ago_is_forgotten() -> None:
    meter, rate = Meter(most=2), Rate(1, 60.0, 1)
    assert [meter.wait(one, rate, 0.0) for one in "abc"] == [0.0] * 3
    assert meter.wait("b", rate, 0.0)
    assert meter.wait("c", rate, 0.0)
    assert not meter.wait("a", rate, 0.0)
