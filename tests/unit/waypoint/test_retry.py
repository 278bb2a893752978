"""When a request is sent once more."""

from __future__ import annotations

import pytest

from mesh.route import Retry
from waypoint.retry import Budgets, Failure, Tried, again

ASKED = Retry(attempts=2, codes=(502, 503), backoff=0.1)


def middling() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        (Tried(1, b"POST", Failure.UNPROCESSED), 0.0),
        (Tried(2, b"POST", Failure.UNPROCESSED), None),
        (Tried(1, b"GET", Failure.BROKEN, reused=True), 0.0),
        (Tried(1, b"POST", Failure.BROKEN, reused=True), None),
        (Tried(1, b"GET", Failure.BROKEN), None),
        (Tried(1, b"GET", Failure.BROKEN, reused=True, repeatable=False), None),
        (Tried(1, b"GET", Failure.BROKEN, reused=True, answered=True), None),
        (Tried(1, b"GET", Failure.UNREACHABLE), None),
        (Tried(1, b"GET", Failure.STATUS, 503), None),
        (Tried(1, b"GET", Failure.LATE), None),
    ],
)
def test_unasked_only_what_nobody_acted_on(tried: Tried, expected: float | None) -> None:
    assert again(tried, None, middling) == expected


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        (Tried(1, b"POST", Failure.STATUS, 503), 0.125),
        (Tried(2, b"POST", Failure.STATUS, 502), 0.25),
        (Tried(3, b"POST", Failure.STATUS, 503), None),
        (Tried(1, b"POST", Failure.STATUS, 500), None),
        (Tried(1, b"POST", Failure.UNREACHABLE), 0.125),
        (Tried(1, b"POST", Failure.BROKEN), 0.125),
        (Tried(1, b"POST", Failure.LATE), None),
        (Tried(1, b"POST", Failure.STATUS, 503, repeatable=False), None),
        (Tried(1, b"POST", Failure.BROKEN, answered=True), None),
    ],
)
def test_asked_as_the_rule_says(tried: Tried, expected: float | None) -> None:
    assert again(tried, ASKED, middling) == expected


def test_a_late_attempt_is_a_504() -> None:
    assert again(Tried(1, b"GET", Failure.LATE), Retry(codes=(504,), backoff=0.0), middling) == 0.0


def test_the_pause_is_never_shorter_than_the_backoff_and_never_endless() -> None:
    patient = Retry(attempts=100, backoff=0.5)
    assert again(Tried(1, b"GET", Failure.UNREACHABLE), patient, lambda: 0.0) == 0.5
    assert again(Tried(100, b"GET", Failure.UNREACHABLE), patient, middling) == 30.0
    assert again(Tried(1, b"GET", Failure.UNREACHABLE), Retry(backoff=60.0), middling) == 60.0


def test_a_fifth_of_a_services_requests_may_be_repeated_at_once_and_three_always() -> None:
    budgets = Budgets()
    for _ in range(10):
        budgets.began("a")
    budgets.began("b")
    assert [budgets.spend("a") for _ in range(4)] == [True, True, True, False]
    assert budgets.spend("b")
    for _ in range(20):
        budgets.began("a")
    assert [budgets.spend("a") for _ in range(4)] == [True, True, True, False]
    budgets.ended("a", repeated=True)
    assert budgets.spend("a")
    assert not budgets.spend("a")


def test_a_service_without_requests_is_forgotten() -> None:
    budgets = Budgets()
    budgets.began("a")
    assert budgets.spend("a")
    budgets.ended("a", repeated=True)
    budgets.began("a")
    assert [budgets.spend("a") for _ in range(4)] == [True, True, True, False]
