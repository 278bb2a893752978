"""Shares of something bounded."""

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
