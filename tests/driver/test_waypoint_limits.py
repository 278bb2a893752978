"""Limits of a service through a running waypoint: real tunnels and real HTTP on loopback."""

from __future__ import annotations

import trio

from mesh.refusal import Reason
from mesh.route import Backend, PathMatch, PathMatchKind, Route, RouteKind, RouteMatch, RouteRule
from mesh.snapshot import Drop
from mesh.traffic import Rate, Terms, TrafficPolicy
from tests.http_exchange import Exchange, send_whole
from tests.waypoint_app import App, status
from tests.waypoint_ends import gather, service, world
from waypoint.http.events import End, RequestHead, ResponseHead

ECHO = service()


async def test_a_caller_over_its_rate_is_refused_before_the_backend_is_asked() -> None:
    app = App()
    async with world(ECHO, TrafficPolicy(ECHO.key, "shop", "echo", Terms(Rate(3, 3600.0, 3)))) as it:
        await it.app(app, ECHO)
        answers = [await it.ask() for _ in range(4)]
        records = await it.recorded(4)
        it.change(Drop(TrafficPolicy, ECHO.key))
        after = await it.ask()
    assert [status(one) for one in answers] == [200, 200, 200, 429]
    assert len(app.asked) == 4
    assert [one.refusal.reason for one in records if one.refusal is not None] == [Reason.RATE_LIMITED]
    assert status(after) == 200


async def test_requests_in_progress_are_limited_and_a_caller_that_leaves_makes_room() -> None:
    entered = trio.Event()

    async def hold(exchange: Exchange, head: RequestHead) -> None:
        if head.path == b"/long":
            entered.set()
            await trio.sleep_forever()
        await send_whole(exchange, ResponseHead(200), b"")

    async with world(ECHO, TrafficPolicy(ECHO.key, "shop", "echo", Terms(requests=1))) as it:
        await it.app(App(handler=hold), ECHO)
        link = await it.link(http2=True)
        with link.begin(RequestHead(b"GET", b"echo", b"/long")) as held:
            await held.send(End())
            await entered.wait()
            with link.begin(RequestHead(b"GET", b"echo", b"/short")) as another:
                await another.send(End())
                refused = await gather(another)
        records = await it.recorded(2)
        answered = await it.ask("/short")
    assert status(refused) == 503
    reasons = {one.refusal.reason for one in records if one.refusal is not None}
    assert reasons == {Reason.OVER_LIMIT, Reason.CALLER_GONE}
    assert status(answered) == 200


async def test_a_routes_limit_is_its_own_and_the_services_is_for_all() -> None:
    def by(name: str, prefix: str) -> Route:
        match = RouteMatch(PathMatch(PathMatchKind.PREFIX, prefix))
        rule = RouteRule((match,), backends=(Backend(ECHO.key, 80),))
        key = f"HTTPRoute/shop/{name}/{ECHO.key}/*"
        return Route(key, RouteKind.HTTP, "shop", name, ECHO.key, "shop", rules=(rule,))

    strict = TrafficPolicy(ECHO.key, "shop", "strict", Terms(Rate(1, 3600.0, 1)), "HTTPRoute/shop/dear")
    mild = TrafficPolicy(ECHO.key, "shop", "mild", Terms(Rate(2, 3600.0, 2)))
    async with world(ECHO, by("dear", "/dear"), by("cheap", "/cheap"), strict, mild) as it:
        await it.app(App(), ECHO)
        dear = [status(await it.ask("/dear")) for _ in range(2)]
        cheap = [status(await it.ask("/cheap")) for _ in range(3)]
    assert (dear, cheap) == ([200, 429], [200, 200, 429])
