"""Bounds on a service's connections, waiting requests and retries, through a running waypoint on loopback."""

from __future__ import annotations

import random

import pytest
import trio

from mesh.net.tunnel import Rejected
from mesh.refusal import Reason
from mesh.route import Backend, Retry, Route, RouteKind, RouteRule
from mesh.traffic import HashOn, HashSource, LoadBalancing, Spread, Terms, TrafficPolicy
from mesh.workload import AppProtocol, Service
from tests.http_exchange import Exchange, send_whole
from tests.tunnel_ends import until
from tests.waypoint_app import App, status
from tests.waypoint_ends import VIP, World, service, world
from waypoint.http.events import RequestHead, ResponseHead

ECHO = service()


def bounding(of: Service = ECHO, **most: object) -> TrafficPolicy:
    return TrafficPolicy(of.key, "shop", "calm", Terms(**most))  # type: ignore[arg-type]


class Held:
    """Answers once it may, and counts who is asking."""

    def __init__(self, code: int = 200) -> None:
        self.asked = 0
        self.gate = trio.Event()
        self.code = code

    async def __call__(self, exchange: Exchange, head: RequestHead) -> None:
        self.asked += 1
        await self.gate.wait()
        await send_whole(exchange, ResponseHead(self.code), b"")


async def asking(it: World, times: int, answers: list[int], *headers: tuple[bytes, bytes]) -> None:
    async def one() -> None:
        answers.append(status(await it.ask("/", "GET", *headers)))

    for _ in range(times):
        it.nursery.start_soon(one)


async def test_requests_wait_for_the_connections_there_are_and_all_are_answered() -> None:
    app, answers = Held(), []
    echo_1 = App(handler=app)
    async with world(ECHO, bounding(connections=2)) as it:
        await it.app(echo_1, ECHO)
        await asking(it, 12, answers)
        await until(lambda: app.asked == 2)
        assert (answers, it.upstream.connections) == ([], 2)
        app.gate.set()
        await until(lambda: len(answers) == 12)
    assert answers == [200] * 12
    assert echo_1.connections == 2


async def test_who_would_be_one_too_many_to_wait_is_refused_and_not_tried_again() -> None:
    app, answers = Held(), []
    route = Route(
        f"HTTPRoute/shop/r/{ECHO.key}/*",
        RouteKind.HTTP,
        "shop",
        "r",
        ECHO.key,
        "shop",
        rules=(RouteRule(backends=(Backend(ECHO.key, 80),), retry=Retry(9, (503,), 0.001)),),
    )
    async with world(ECHO, route, bounding(connections=1, pending=2)) as it:
        await it.app(App(handler=app), ECHO)
        await asking(it, 1, answers)
        await until(lambda: app.asked == 1)
        await asking(it, 5, answers)
        await until(lambda: answers == [503] * 3)
        app.gate.set()
        await until(lambda: len(answers) == 6)
        records = await it.recorded(6)
    assert sorted(answers) == [200] * 3 + [503] * 3
    refused = [one for one in records if one.refusal is not None]
    assert {(one.refusal.reason, one.flag) for one in refused if one.refusal} == {(Reason.OVER_PENDING, "UO")}
    assert all("TrafficPolicy shop/calm" in one.refusal.detail for one in refused if one.refusal)
    assert not it.health.passed_over(0.0), "the endpoint is quite well"


async def test_a_caller_that_leaves_while_it_waits_makes_room_for_another() -> None:
    app, answers = Held(), []
    async with world(ECHO, bounding(connections=1, pending=1)) as it:
        await it.app(App(handler=app), ECHO)
        await asking(it, 1, answers)
        await until(lambda: app.asked == 1)
        link = await it.link(http2=True)
        waiting = link.begin(RequestHead(b"GET", b"echo", b"/", ends=True))
        assert waiting is not None
        with waiting:
            assert status(await it.ask(link=link)) == 503
        await it.recorded(2)
        await asking(it, 1, answers)
        app.gate.set()
        await until(lambda: len(answers) == 2)
    assert answers == [200, 200]


async def test_when_a_connection_breaks_those_who_wait_get_a_new_one() -> None:
    seen: list[str] = []
    answers: list[int] = []
    gate = trio.Event()

    async def breaks_once(exchange: Exchange, head: RequestHead) -> None:
        seen.append("asked")
        if len(seen) == 1:
            await gate.wait()
            return
        await send_whole(exchange, ResponseHead(200), b"")

    async with world(ECHO, bounding(connections=1)) as it:
        await it.app(App(handler=breaks_once), ECHO)
        await asking(it, 1, answers)
        await until(lambda: bool(seen))
        await asking(it, 3, answers)
        gate.set()
        await until(lambda: len(answers) == 4)
    assert sorted(answers) == [200, 200, 200, 503]


async def test_a_connection_that_an_endpoint_can_spare_is_given_up_for_another_endpoint() -> None:
    held, quick, answers = Held(), Held(), []
    hashing = LoadBalancing(Spread.CONSISTENT_HASH, HashOn(HashSource.HEADER, "x-pod"))
    async with world(ECHO, bounding(connections=3, balancing=hashing)) as it:
        await it.app(App("quick", handler=quick), ECHO)
        await it.app(App("held", handler=held), ECHO)
        quick.gate.set()
        held.gate.set()
        homes: dict[str, bytes] = {}
        for number in range(1000):
            before = quick.asked
            await it.ask("/", "GET", (b"x-pod", b"%d" % number))
            homes.setdefault("quick" if quick.asked > before else "held", b"%d" % number)
            if len(homes) == 2:
                break
        quick.gate = trio.Event()
        before = quick.asked
        await asking(it, 2, answers, (b"x-pod", homes["quick"]))
        await until(lambda: quick.asked == before + 2)
        quick.gate.set()
        await until(lambda: len(answers) == 2)
        held.gate = trio.Event()
        before = held.asked
        await asking(it, 2, answers, (b"x-pod", homes["held"]))
        await until(lambda: held.asked == before + 2)
        held.gate.set()
        await until(lambda: len(answers) == 4)
    assert answers == [200] * 4


async def test_retries_are_as_many_as_the_policy_allows_and_the_record_says_so() -> None:
    rule = RouteRule(backends=(Backend(ECHO.key, 80),), retry=Retry(3, (503,), 0.001))
    route = Route(f"HTTPRoute/shop/r/{ECHO.key}/*", RouteKind.HTTP, "shop", "r", ECHO.key, "shop", rules=(rule,))
    app = Held(503)
    app.gate.set()
    async with world(ECHO, route, bounding(retries=0)) as it:
        await it.app(App(handler=app), ECHO)
        assert status(await it.ask()) == 503
        [record] = await it.recorded(1)
    assert app.asked == 1
    assert record.refusal is not None
    assert (record.refusal.reason, record.flag) == (Reason.OVER_RETRIES, "URX")


async def test_an_opaque_connection_more_than_there_may_be_is_refused_until_another_ends() -> None:
    of = service("db", port=5432, protocol=AppProtocol.TCP)
    async with world(of, bounding(of, connections=1)) as it:
        await it.app(App("db"), of)
        at = f"{VIP}:5432"
        first = await it.open(at)
        refused = await it.connect(at)
        assert isinstance(refused, Rejected)
        [reason] = [one.refusal.reason for one in it.records if one.refusal is not None]
        assert reason is Reason.OVER_CONNECTIONS
        await first.aclose()
        with trio.fail_after(20):
            while isinstance(await it.connect(at), Rejected):
                await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("pods", [1, 3])
async def test_in_a_crowd_the_bound_holds_at_every_moment_and_nobody_is_forgotten(http2: bool, pods: int) -> None:
    of = service(protocol=AppProtocol.HTTP2 if http2 else AppProtocol.HTTP11)
    answers: list[int] = []
    seen: list[int] = []
    dice = random.Random(11)

    async def now_and_then_closing(exchange: Exchange, head: RequestHead) -> None:
        seen.append(it.upstream.connections)
        for _ in range(dice.randrange(4)):
            await trio.lowlevel.checkpoint()
        closing = () if http2 or dice.random() < 0.7 else ((b"connection", b"close"),)
        await send_whole(exchange, ResponseHead(200, closing), b"")

    async with world(of, bounding(of, connections=3)) as it:
        for name in "abc"[:pods]:
            await it.app(App(name, http2=http2, handler=now_and_then_closing), of)
        await asking(it, 60, answers)
        await until(lambda: len(answers) == 60)
    assert answers == [200] * 60
    assert max(seen) <= 3 + pods - 1, "an endpoint that has none gets one, even while the others have all there may be"
