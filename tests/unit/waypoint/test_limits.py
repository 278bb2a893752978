"""What a service takes, by its TrafficPolicy."""

from __future__ import annotations

from mesh.identity import Identity
from mesh.refusal import Reason
from mesh.traffic import Rate, Share, Terms, TrafficPolicy
from waypoint.answer import Answer, message
from waypoint.http.events import RequestHead, value
from waypoint.limits import Limits

WEB, BATCH = (Identity("cluster.local", "shop", name) for name in ("web", "batch"))
CART = "shop/cart.shop.svc.cluster.local"


def policy(rate: Rate | None = None, requests: int | None = None) -> TrafficPolicy:
    return TrafficPolicy(CART, "shop", "cart", Terms(rate, requests))


def reason(answer: Answer | None) -> Reason | None:
    return answer.refusal.reason if answer is not None and answer.refusal is not None else None


def test_over_its_rate_a_caller_is_told_when_to_come_again() -> None:
    limits, limited = Limits(), policy(Rate(1, 2.5, 1))
    assert limits.enter((limited,), WEB, 10.0) is None
    answer = limits.enter((limited,), WEB, 10.0)
    assert answer is not None
    assert (answer.status, value(answer.headers, b"retry-after")) == (429, b"3")
    assert reason(answer) is Reason.RATE_LIMITED
    assert limits.enter((limited,), WEB, 12.5) is None


def test_a_grpc_caller_over_its_rate_gets_resource_exhausted() -> None:
    limits, limited = Limits(), policy(Rate(1, 60.0, 1))
    limits.enter((limited,), WEB, 0.0)
    answer = limits.enter((limited,), WEB, 0.0)
    assert answer is not None
    request = RequestHead(b"POST", b"cart", b"/cart.Cart/Get", ((b"content-type", b"application/grpc"),))
    head, _ = message(answer, request)
    assert (head.status, value(head.headers, b"grpc-status")) == (200, b"8")
    assert value(head.headers, b"retry-after") == b"60"


def test_a_rate_is_each_callers_own_or_all_callers_together() -> None:
    own, together = policy(Rate(1, 60.0, 1)), policy(Rate(1, 60.0, 1, Share.SERVICE))
    limits = Limits()
    assert limits.enter((own,), WEB, 0.0) is None
    assert limits.enter((own,), BATCH, 0.0) is None
    limits = Limits()
    assert limits.enter((together,), WEB, 0.0) is None
    assert reason(limits.enter((together,), BATCH, 0.0)) is Reason.RATE_LIMITED


def test_one_more_than_may_be_in_progress_is_refused_until_one_is_over() -> None:
    limits, limited = Limits(), policy(requests=2)
    assert [limits.enter((limited,), who, 0.0) for who in (WEB, BATCH)] == [None, None]
    answer = limits.enter((limited,), WEB, 0.0)
    assert answer is not None
    assert (answer.status, reason(answer)) == (503, Reason.OVER_LIMIT)
    limits.leave((CART,))
    assert limits.enter((limited,), WEB, 0.0) is None


def test_what_is_refused_for_being_too_many_does_not_use_up_the_rate() -> None:
    limits, limited = Limits(), policy(Rate(2, 60.0, 2), requests=1)
    assert limits.enter((limited,), WEB, 0.0) is None
    assert reason(limits.enter((limited,), WEB, 0.0)) is Reason.OVER_LIMIT
    limits.leave((CART,))
    assert limits.enter((limited,), WEB, 0.0) is None
