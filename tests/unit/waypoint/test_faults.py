"""Faults that are wanted: how often, for whom, and what callers and records say of them."""

from __future__ import annotations

import random

import pytest

from mesh.refusal import Reason
from mesh.traffic import Abort, Delay, Faults
from waypoint.answer import message
from waypoint.faults import aborted, delay
from waypoint.http.events import RequestHead, value

PLAIN = RequestHead(b"GET", b"cart", b"/")
GRPC = RequestHead(b"POST", b"cart", b"/cart.Cart/Get", ((b"content-type", b"application/grpc"),))
TITLE = "TrafficPolicy shop/cart"


def answered(abort: Abort, request: RequestHead, roll: float = 0.0) -> tuple[int, bytes | None] | None:
    found = aborted(Faults(abort=abort), TITLE, request, lambda: roll)
    if found is None:
        return None
    assert found.refusal is not None
    assert found.refusal.reason is Reason.FAULT_INJECTED
    assert TITLE in found.refusal.detail
    head, _ = message(found, request)
    return head.status, value(head.headers, b"grpc-status")


def test_a_status_is_for_everybody_and_means_the_like_in_grpc() -> None:
    assert answered(Abort(429), PLAIN) == (429, None)
    assert answered(Abort(429), GRPC) == (200, b"8")


def test_a_grpc_status_is_for_grpc_callers_alone() -> None:
    assert answered(Abort(grpc_status=10), GRPC) == (200, b"10")
    assert answered(Abort(grpc_status=10), PLAIN) is None
    assert answered(Abort(500, 10), PLAIN) == (500, None)
    assert answered(Abort(500, 10), GRPC) == (200, b"10")


@pytest.mark.parametrize("percent", [0.0, 0.5, 25.0, 100.0])
def test_as_many_are_hit_as_wanted(percent: float) -> None:
    dice = random.Random(4).random
    faults = Faults(Delay(2.0, percent), Abort(503, percent=percent))
    held = sum(delay(faults, dice) == 2.0 for _ in range(20_000)) / 200
    gone = sum(aborted(faults, TITLE, PLAIN, dice) is not None for _ in range(20_000)) / 200
    assert held == pytest.approx(percent, abs=1.0)
    assert gone == pytest.approx(percent, abs=1.0)
    if percent in {0.0, 100.0}:
        assert (held, gone) == (percent, percent)


def test_what_is_not_wanted_is_not_done() -> None:
    assert delay(Faults(abort=Abort(503)), lambda: 0.0) == 0.0
    assert aborted(Faults(Delay(1.0)), TITLE, PLAIN, lambda: 0.0) is None
