"""Shares of something bounded."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.quota import Quota
from mesh.refusal import Reason


def test_who_has_its_share_gets_no_more_and_others_do() -> None:
    quota = Quota("handshakes", limit=5, share=2)
    assert quota.take("greedy") is None
    assert quota.take("greedy") is None
    refusal = quota.take("greedy")
    assert refusal is not None
    assert refusal.reason is Reason.OVER_BUDGET
    assert refusal.detail.startswith("2 handshakes of greedy are in progress")
    assert quota.take("modest") is None
    quota.give("greedy")
    assert quota.take("greedy") is None


def test_all_together_have_a_limit_too() -> None:
    quota = Quota("handshakes", limit=3, share=2)
    assert [quota.take(who) for who in ("a", "b", "c")] == [None] * 3
    refusal = quota.take("d")
    assert refusal is not None
    assert refusal.detail.startswith("3 handshakes are in progress")
    quota.give("b")
    assert quota.take("d") is None


def test_without_a_fixed_share_one_alone_gets_half_and_two_a_third_each() -> None:
    quota = Quota("connections", limit=12)
    taken = dict.fromkeys("ab", 0)
    while quota.take("a") is None:
        taken["a"] += 1
    assert taken["a"] == 6
    while quota.take("b") is None:
        taken["b"] += 1
    assert taken["b"] == 3
    quota = Quota("connections", limit=12)
    for _ in range(12):
        for who in taken:
            quota.take(who)
    assert quota.used == 8


@given(st.integers(1, 200), st.integers(1, 12))
def test_however_many_grasp_for_all_as_much_as_each_has_is_left(limit: int, greedy: int) -> None:
    quota = Quota("connections", limit)
    for _ in range(limit):
        for who in range(greedy):
            quota.take(who)
    left = limit - quota.used
    assert left >= limit // (greedy + 1) - 1
    assert (quota.take("somebody else") is None) == bool(left)
