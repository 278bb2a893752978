"""Requests that are sent once more: real tunnels and real HTTP on loopback, backends that fail on purpose."""

from __future__ import annotations

import pytest
import trio

from mesh.route import Backend, Retry, Route, RouteKind, RouteRule
from mesh.workload import AppProtocol, Service
from tests.http_exchange import Exchange, send_whole
from tests.waypoint_app import App, status
from tests.waypoint_ends import endpoint, gather, service, world
from waypoint import deadline
from waypoint.http.events import Body, End, RequestHead, Reset, ResponseHead

ECHO = service()
VERSIONS = pytest.mark.parametrize("http2", [False, True])


def spoken(http2: bool) -> Service:
    return service(protocol=AppProtocol.HTTP2 if http2 else AppProtocol.HTTP11)


def retrying(of: Service, retry: Retry | None, **times: float) -> Route:
    rule = RouteRule(backends=(Backend(of.key, 80),), retry=retry, **times)
    return Route(f"HTTPRoute/shop/echo/{of.key}/*", RouteKind.HTTP, "shop", "echo", of.key, of.namespace, rules=(rule,))


class Failing:
    """Fails the first requests with a status, and keeps the content of each."""

    def __init__(self, failures: int, code: int = 503) -> None:
        self.failures = failures
        self.code = code
        self.bodies: list[bytes] = []

    async def __call__(self, exchange: Exchange, head: RequestHead) -> None:
        body = b""
        while not isinstance(event := await exchange.receive(), End):
            assert isinstance(event, Body)
            body += event.data
        self.bodies.append(body)
        code = self.code if len(self.bodies) <= self.failures else 200
        await send_whole(exchange, ResponseHead(code), body)


@VERSIONS
async def test_a_status_that_the_rule_names_is_retried_with_the_same_content(http2: bool) -> None:
    of, app = spoken(http2), Failing(2)
    async with world(of, retrying(of, Retry(2, (503,), 0.001))) as it:
        await it.app(App(http2=http2, handler=app), of)
        link = await it.link(http2=http2)
        with link.begin(RequestHead(b"POST", b"echo", b"/", ((b"content-length", b"10"),))) as exchange:
            await exchange.send(Body(b"hello"))
            await exchange.send(Body(b"again"))
            await exchange.send(End())
            events = await gather(exchange)
        [record] = await it.recorded(1)
    assert status(events) == 200
    assert Body(b"helloagain") in events
    assert app.bodies == [b"helloagain"] * 3
    assert record.received == 10
    assert record.http is not None
    assert record.http.status == 200


@VERSIONS
async def test_when_attempts_are_used_up_the_last_answer_is_the_callers(http2: bool) -> None:
    of, app = spoken(http2), Failing(9, 502)
    async with world(of, retrying(of, Retry(2, (502,), 0.001))) as it:
        await it.app(App(http2=http2, handler=app), of)
        assert status(await it.ask(http2=http2)) == 502
    assert len(app.bodies) == 3


async def test_a_status_that_nobody_named_is_the_callers_at_once() -> None:
    app = Failing(9, 500)
    async with world(ECHO, retrying(ECHO, Retry(2, (503,), 0.001))) as it:
        await it.app(App(handler=app), ECHO)
        assert status(await it.ask()) == 500
    assert len(app.bodies) == 1


async def test_another_endpoint_is_asked_when_one_cannot_be_reached() -> None:
    app = App()
    async with world(ECHO, retrying(ECHO, Retry(1, (), 0.001))) as it:
        await it.app(app, ECHO)
        it.put(endpoint("echo-gone", it.address(), ECHO))
        assert [status(await it.ask()) for _ in range(12)] == [200] * 12


@VERSIONS
async def test_an_attempt_has_its_own_time(http2: bool) -> None:
    of = spoken(http2)
    seen: list[int] = []

    async def slow_once(exchange: Exchange, head: RequestHead) -> None:
        seen.append(1)
        if len(seen) == 1:
            await trio.sleep_forever()
        await send_whole(exchange, ResponseHead(200), b"")

    times = {"timeout": 10.0, "backend_timeout": 0.2}
    async with world(of, retrying(of, Retry(1, (504,), 0.001), **times)) as it:
        await it.app(App(http2=http2, handler=slow_once), of)
        with trio.fail_after(5):
            assert status(await it.ask(http2=http2)) == 200
    assert len(seen) == 2


async def test_the_whole_request_ends_in_its_time_however_many_attempts_are_left() -> None:
    async def never(exchange: Exchange, head: RequestHead) -> None:
        await trio.sleep_forever()

    times = {"timeout": 0.5, "backend_timeout": 0.2}
    async with world(ECHO, retrying(ECHO, Retry(50, (504,), 0.001), **times)) as it:
        await it.app(App(handler=never), ECHO)
        with trio.fail_after(5):
            assert status(await it.ask()) == 504


def grpc_call(text: bytes) -> RequestHead:
    fields = ((b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", text))
    return RequestHead(b"POST", b"echo", b"/shop.Cart/Add", fields, ends=True)


async def test_a_grpc_caller_that_waits_no_longer_than_it_said_hears_deadline_exceeded() -> None:
    of = spoken(http2=True)

    async def never(exchange: Exchange, head: RequestHead) -> None:
        await trio.sleep_forever()

    async with world(of, retrying(of, None, timeout=60.0)) as it:
        await it.app(App(http2=True, handler=never), of)
        link = await it.link(http2=True)
        with link.begin(grpc_call(b"200m")) as exchange, trio.fail_after(20):
            [answer, *_] = await gather(exchange)
    assert isinstance(answer, ResponseHead)
    assert dict(answer.headers)[b"grpc-status"] == b"4"


async def test_each_attempt_of_a_grpc_call_is_told_what_is_left_of_its_time() -> None:
    of, told = spoken(http2=True), []

    async def fails_twice(exchange: Exchange, head: RequestHead) -> None:
        told.append(deadline.given(head))
        await send_whole(exchange, ResponseHead(200 if len(told) >= 3 else 503), b"")

    async with world(of, retrying(of, Retry(2, (503,), 0.05), timeout=30.0, backend_timeout=20.0)) as it:
        await it.app(App(http2=True, handler=fails_twice), of)
        link = await it.link(http2=True)
        with link.begin(grpc_call(b"1H")) as exchange:
            assert status(await gather(exchange)) == 200
        with link.begin(grpc_call(b"10S")) as exchange:
            assert status(await gather(exchange)) == 200
    assert told[:3] == [20.0, 20.0, 20.0]
    assert told[3] <= 10.0


async def test_content_that_is_too_much_to_keep_is_sent_once() -> None:
    app = Failing(9)
    content = b"x" * 200_000
    async with world(ECHO, retrying(ECHO, Retry(2, (503,), 0.001))) as it:
        await it.app(App(handler=app), ECHO)
        link = await it.link()
        head = RequestHead(b"POST", b"echo", b"/", ((b"content-length", b"%d" % len(content)),))
        with link.begin(head) as exchange:
            await exchange.send(Body(content))
            await exchange.send(End())
            assert status(await gather(exchange)) == 503
    assert app.bodies == [content]


@VERSIONS
async def test_nothing_is_retried_once_the_answer_has_begun(http2: bool) -> None:
    of = spoken(http2)
    seen: list[int] = []

    async def break_off(exchange: Exchange, head: RequestHead) -> None:
        seen.append(1)
        await exchange.send(ResponseHead(200))
        await exchange.send(Body(b"half"))
        await exchange.send(Reset(2))

    async with world(of, retrying(of, Retry(5, (503,), 0.001))) as it:
        await it.app(App(http2=http2, handler=break_off), of)
        events = await it.ask(http2=http2)
    assert isinstance(events[-1], Reset)
    assert len(seen) == 1


async def test_when_everything_fails_the_budget_keeps_most_requests_from_being_repeated() -> None:
    """Forty requests at once whose backend fails: without a budget there would be two hundred attempts."""
    arrived, gate = 0, trio.Event()

    async def fail(exchange: Exchange, head: RequestHead) -> None:
        nonlocal arrived
        arrived += 1
        if arrived >= 40:
            gate.set()
        await gate.wait()
        await send_whole(exchange, ResponseHead(503), b"")

    async with world(ECHO, retrying(ECHO, Retry(4, (503,), 0.2))) as it:
        await it.app(App(handler=fail), ECHO)
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(it.ask)
    assert 40 < arrived <= 40 + 8 * 4
