"""Endpoints that are passed over for what they answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.traffic import OutlierDetection
from waypoint.judgement import grpc_status, http_status, retry_after
from waypoint.outliers import Outliers, Watch

FIVE = OutlierDetection(errors=5, most_percent=100)
SERVICE = "shop/cart"


class Seen:
    """What a service's endpoints answer, at moments of one clock."""

    def __init__(self, rule: OutlierDetection, endpoints: int = 4) -> None:
        self.outliers = Outliers()
        self.watch = Watch(SERVICE, rule, endpoints)
        self.now = 0.0

    def heard(self, uid: str, statuses: Iterable[int], pause: float | None = None) -> list[str]:
        found = [self.outliers.heard(self.watch, uid, one, self.now, retry_after=pause) for one in statuses]
        return [one.why for one in found if one is not None]

    def ejected(self, at: float | None = None) -> set[str]:
        return set(self.outliers.ejected(SERVICE, self.now if at is None else at))


def test_so_many_errors_in_a_row_and_no_fewer() -> None:
    seen = Seen(FIVE)
    assert seen.heard("a", [500, 502, 500, 503]) == []
    assert seen.heard("a", [200, 500, 500, 500, 500]) == [], "a good answer begins the row anew"
    assert seen.heard("a", [500]) == ["5 answers of 5xx in a row"]
    assert seen.ejected() == {"a"}


def test_errors_of_the_caller_and_of_an_application_are_no_gateway_errors() -> None:
    seen = Seen(OutlierDetection(gateway_errors=2))
    assert seen.heard("a", [503, 500, 503, 404, 502, 429, 504]) == []
    assert seen.heard("a", [502]) == ["2 gateway errors in a row"]


def test_each_time_in_succession_it_is_for_longer_and_long_after_as_at_first() -> None:
    seen = Seen(FIVE)
    for times in (1, 2, 3):
        assert seen.heard("a", [500] * 5)
        assert seen.ejected(seen.now + 30 * times - 0.1) == {"a"}
        seen.now += 30 * times + 0.1
        assert seen.ejected() == set()
    seen.now += 3000
    assert seen.heard("a", [500] * 5)
    assert seen.ejected(seen.now + 29) == {"a"}
    assert seen.ejected(seen.now + 31) == set()


def test_what_was_under_way_when_it_was_passed_over_makes_it_no_longer() -> None:
    seen = Seen(FIVE)
    seen.heard("a", [500] * 5)
    seen.now = 20.0
    assert seen.heard("a", [500] * 50) == []
    assert seen.ejected(30.1) == set()


def test_after_its_time_it_gets_a_whole_row_again() -> None:
    seen = Seen(FIVE)
    seen.heard("a", [500] * 5)
    seen.now = 31.0
    assert seen.heard("a", [500] * 4) == []


def test_a_share_of_good_answers_counts_once_there_are_enough_of_them() -> None:
    seen = Seen(OutlierDetection(success_percent=80, least_requests=10))
    assert seen.heard("a", [500, 200] * 4 + [200]) == []
    assert seen.heard("a", [200]) == ["6 of 10 answers were good"]
    seen = Seen(OutlierDetection(success_percent=80, least_requests=10))
    assert seen.heard("b", [500, 500] + [200] * 50) == []


def test_the_share_is_that_of_one_interval() -> None:
    seen = Seen(OutlierDetection(success_percent=80, least_requests=10, interval=10.0))
    assert seen.heard("a", [500] * 9) == []
    seen.now = 10.0
    assert seen.heard("a", [200] * 9) == []
    assert seen.heard("a", [500]) == []


def test_who_asks_to_be_left_alone_is_left_alone_for_as_long() -> None:
    seen = Seen(OutlierDetection(retry_after=True))
    assert seen.heard("a", [429], pause=7.0) == ["it answered 429 with Retry-After"]
    assert seen.ejected(6.9) == {"a"}
    assert seen.ejected(7.1) == set()
    assert seen.heard("b", [500], pause=7.0) == [], "only 429 and 503 ask for a pause"
    assert seen.heard("b", [503]) == []
    assert Seen(FIVE).heard("a", [503], pause=7.0) == [], "nobody asked to regard it"


def test_nobody_is_left_alone_for_ever() -> None:
    seen = Seen(OutlierDetection(retry_after=True))
    seen.heard("a", [503], pause=1e9)
    assert seen.ejected(300.1) == set()


@pytest.mark.parametrize(("percent", "endpoints", "most"), [(10, 4, 1), (50, 4, 2), (100, 4, 4), (0, 1, 1), (34, 9, 3)])
def test_no_more_than_a_share_is_passed_over_at_once_but_always_one(percent: int, endpoints: int, most: int) -> None:
    seen = Seen(replace(FIVE, most_percent=percent), endpoints)
    for number in range(endpoints):
        seen.heard(f"e{number}", [500] * 5)
    assert len(seen.ejected()) == most
    seen.now = 30.1
    assert seen.heard("last", [500] * 5), "when their time is up there is room for others"


answered = st.tuples(st.integers(0, 5), st.sampled_from([200, 404, 429, 500, 503]), st.floats(0, 50))


@given(st.lists(answered, max_size=120), st.integers(0, 100))
def test_whatever_is_answered_the_share_is_kept_to_and_all_come_back(events: list, percent: int) -> None:
    rule = OutlierDetection(2, 2, 60, 3, 5.0, retry_after=True, most_percent=percent)
    seen = Seen(rule, 6)
    for endpoint, status, later in events:
        seen.now += later
        seen.heard(f"e{endpoint}", [status], pause=later)
        assert len(seen.ejected()) <= max(1, 6 * percent // 100)
    assert seen.ejected(seen.now + 300.1) == set()


GRPC = (b"content-type", b"application/grpc")


def test_grpc_is_judged_by_its_own_status_wherever_it_stands() -> None:
    assert http_status((GRPC,), 200, ended=False) is None
    assert http_status((GRPC, (b"grpc-status", b"14")), 200, ended=True) == 503
    assert http_status((GRPC,), 503, ended=True) == 503
    assert http_status((), 200, ended=False) == 200
    assert [grpc_status(((b"grpc-status", code),)) for code in (b"0", b"5", b"12", b"13")] == [200, 200, 200, 500]
    assert grpc_status(()) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [(b"5", 5.0), (b"0", 0.0), (b"-1", None), (b"soon", None), (b"9" * 40, None)]
)
def test_retry_after_is_seconds_or_nothing(text: bytes, seconds: float | None) -> None:
    assert retry_after(((b"retry-after", text),)) == seconds
