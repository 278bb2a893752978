"""Copies of requests for mirrors: real tunnels and real HTTP on loopback."""

from __future__ import annotations

import pytest
import trio

from mesh.route import Backend, Mirror, Route, RouteKind, RouteRule
from mesh.workload import AppProtocol
from tests.http_exchange import Exchange, send_whole
from tests.tunnel_ends import until
from tests.waypoint_app import App, status
from tests.waypoint_ends import endpoint, gather, service, world
from waypoint.http.events import Body, End, RequestHead, Reset, ResponseHead

ECHO = service()


def mirroring(*mirrors: Mirror) -> Route:
    rule = RouteRule(filters=mirrors, backends=(Backend(ECHO.key, 80),))
    return Route(f"HTTPRoute/shop/echo/{ECHO.key}/*", RouteKind.HTTP, "shop", "echo", ECHO.key, "shop", rules=(rule,))


class Seen:
    """Keeps what it was asked, and answers with a status."""

    def __init__(self, code: int = 200) -> None:
        self.code = code
        self.asked: list[tuple[bytes, bytes, bytes]] = []
        self.begun = 0
        self.cut = 0

    async def __call__(self, exchange: Exchange, head: RequestHead) -> None:
        body = b""
        self.begun += 1
        while not isinstance(event := await exchange.receive(), End):
            if isinstance(event, Reset):
                self.cut += 1
                return
            assert isinstance(event, Body)
            body += event.data
        self.asked.append((head.method, head.path, body))
        await send_whole(exchange, ResponseHead(self.code), b"from the mirror" * 1000)


@pytest.mark.parametrize("http2", [False, True])
async def test_every_mirror_gets_the_whole_request_and_only_the_backend_answers(http2: bool) -> None:
    protocol = AppProtocol.HTTP2 if http2 else AppProtocol.HTTP11
    others = [service(f"other-{n}", f"10.96.0.{n}", protocol=protocol) for n in (7, 8)]
    seen = [Seen(), Seen(500)]
    async with world(ECHO, *others, mirroring(*(Mirror(one.key, 80) for one in others))) as it:
        await it.app(App(), ECHO)
        for one, app in zip(others, seen, strict=True):
            await it.app(App(one.name, http2=http2, handler=app), one)
        link = await it.link(http2=http2)
        with link.begin(RequestHead(b"POST", b"echo", b"/a?b=c", ((b"content-length", b"5"),))) as exchange:
            await exchange.send(Body(b"hello"))
            await exchange.send(End())
            assert status(await gather(exchange)) == 200
        assert status(await it.ask("/bare", http2=http2)) == 200
        await until(lambda: all(len(app.asked) == 2 for app in seen))
        assert len(await it.recorded(2)) == 2
    for app in seen:
        assert set(app.asked) == {(b"POST", b"/a?b=c", b"hello"), (b"GET", b"/bare", b"")}


async def test_a_share_of_the_requests_is_mirrored() -> None:
    other, seen = service("other", "10.96.0.7"), Seen()
    async with world(ECHO, other, mirroring(Mirror(other.key, 80, 0.3)), seed=5) as it:
        await it.app(App(), ECHO)
        await it.app(App("other", handler=seen), other)
        for _ in range(200):
            assert status(await it.ask()) == 200
        await until(lambda: len(seen.asked) > 40)
    assert 40 < len(seen.asked) < 80


async def test_a_mirror_that_is_not_there_or_does_not_read_holds_nothing_back() -> None:
    gone, slow = service("gone", "10.96.0.7"), service("slow", "10.96.0.8")
    content = b"x" * 3_000_000

    async def stand_still(exchange: Exchange, head: RequestHead) -> None:
        await trio.sleep_forever()

    async with world(ECHO, gone, slow, mirroring(Mirror(gone.key, 80), Mirror(slow.key, 80))) as it:
        await it.app(App(), ECHO)
        it.put(endpoint("gone-1", it.address(), gone))
        await it.app(App("slow", handler=stand_still), slow)
        link = await it.link()
        head = RequestHead(b"POST", b"echo", b"/", ((b"content-length", b"%d" % len(content)),))
        with trio.fail_after(20), link.begin(head) as exchange:
            await exchange.send(Body(content))
            await exchange.send(End())
            assert status(await gather(exchange)) == 200


async def test_a_caller_that_breaks_off_breaks_the_copy_off_too() -> None:
    other, seen = service("other", "10.96.0.7", protocol=AppProtocol.HTTP2), Seen()
    async with world(ECHO, other, mirroring(Mirror(other.key, 80))) as it:
        await it.app(App(), ECHO)
        await it.app(App("other", http2=True, handler=seen), other)
        link = await it.link(http2=True)
        with link.begin(RequestHead(b"POST", b"echo", b"/")) as exchange:
            await exchange.send(Body(b"half"))
            await until(lambda: seen.begun == 1)
            await exchange.send(Reset(8))
        await until(lambda: seen.cut == 1)
        [record] = await it.recorded(1)
    assert record.refusal is not None
    assert seen.asked == []
