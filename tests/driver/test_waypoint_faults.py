"""Faults that a TrafficPolicy wants, through a running waypoint: real tunnels and real HTTP on loopback."""

from __future__ import annotations

from mesh.record import event_fields
from mesh.refusal import Reason
from mesh.route import Backend, Retry, Route, RouteKind, RouteRule
from mesh.traffic import Abort, Delay, Faults, Terms, TrafficPolicy
from tests.waypoint_app import App, header, status
from tests.waypoint_ends import service, world
from waypoint.http.events import RequestHead

ECHO = service()


def wanting(*, delay: Delay | None = None, abort: Abort | None = None) -> TrafficPolicy:
    return TrafficPolicy(ECHO.key, "shop", "chaos", Terms(faults=Faults(delay, abort)))


def routed(**more: object) -> Route:
    rule = RouteRule(backends=(Backend(ECHO.key, 80),), **more)  # type: ignore[arg-type]
    return Route(f"HTTPRoute/shop/r/{ECHO.key}/*", RouteKind.HTTP, "shop", "r", ECHO.key, "shop", rules=(rule,))


async def test_an_aborted_request_reaches_nobody_and_is_not_tried_again() -> None:
    app = App()
    async with world(ECHO, routed(retry=Retry(3, (503,), 0.001)), wanting(abort=Abort(503))) as it:
        await it.app(app, ECHO)
        answer = await it.ask()
        [record] = await it.recorded(1)
    assert (status(answer), app.asked) == (503, [])
    assert record.refusal is not None
    assert (record.refusal.reason, record.flag) == (Reason.FAULT_INJECTED, "FI")
    assert "TrafficPolicy shop/chaos" in dict(event_fields(record))["error"]


async def test_a_grpc_caller_is_told_the_status_that_is_wanted() -> None:
    async with world(ECHO, wanting(abort=Abort(grpc_status=8))) as it:
        await it.app(App(), ECHO)
        answer = await it.ask("/x", "POST", (b"content-type", b"application/grpc"), http2=True)
        plain = await it.ask(http2=True)
    assert (status(answer), header(answer, "grpc-status")) == (200, b"8")
    assert status(plain) == 200


async def test_a_delayed_request_arrives_later_and_whole_and_the_log_says_so() -> None:
    app = App()
    async with world(ECHO, wanting(delay=Delay(0.3))) as it:
        await it.app(app, ECHO)
        answer = await it.ask("/", "POST", body=b"x" * 100_000)
        [record] = await it.recorded(1)
    assert (status(answer), len(app.asked)) == (200, 1)
    assert record.seconds >= 0.3
    assert (record.flag, dict(event_fields(record))["fault_delay"]) == ("DI", "300ms")


async def test_a_delay_counts_for_the_time_that_the_route_gives() -> None:
    app = App()
    async with world(ECHO, routed(timeout=0.05), wanting(delay=Delay(3000.0))) as it:
        await it.app(app, ECHO)
        assert status(await it.ask()) == 504
        assert app.asked == []


async def test_a_caller_that_leaves_during_its_delay_is_forgotten() -> None:
    app = App()
    policy = TrafficPolicy(ECHO.key, "shop", "chaos", Terms(requests=1, faults=Faults(Delay(3000.0))))
    async with world(ECHO, policy) as it:
        await it.app(app, ECHO)
        link = await it.link(http2=True)
        held = link.begin(RequestHead(b"GET", b"echo", b"/held", ends=True))
        assert held is not None
        with held:
            refused = await it.ask("/behind", link=link)
        await it.recorded(2)
        reasons = {one.http.path: one.refusal.reason for one in it.records if one.http and one.refusal}
    assert status(refused) == 503, "the one before it is in progress"
    assert reasons == {"/held": Reason.CALLER_GONE, "/behind": Reason.OVER_LIMIT}
    assert app.asked == []
