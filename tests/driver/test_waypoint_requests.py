"""Requests through a waypoint on loopback: real tunnels, real TLS, HTTP/1.1 and HTTP/2 in every mix."""

from __future__ import annotations

import hashlib
import random

import pytest
import trio
import trio.testing

from mesh.refusal import Reason
from mesh.route import (
    Backend,
    Route,
    RouteKind,
    RouteRule,
)
from mesh.workload import AppProtocol, Service, TunnelProtocol
from tests.http_exchange import Exchange, send_whole
from tests.tunnel_ends import until
from tests.waypoint_app import App, header, status, told
from tests.waypoint_ends import endpoint, gather, service, world
from waypoint.http.events import Body, End, Interim, RequestHead, Reset, ResponseHead, Trailers

ECHO = service()
MIXES = pytest.mark.parametrize(("caller", "backend"), [(False, False), (False, True), (True, False), (True, True)])


def spoken(http2: bool) -> Service:
    return service(protocol=AppProtocol.HTTP2 if http2 else AppProtocol.HTTP11)


def route(*rules: RouteRule, name: str = "echo", namespace: str = "shop", parent: Service = ECHO) -> Route:
    key = f"HTTPRoute/{namespace}/{name}/{parent.key}/*"
    return Route(key, RouteKind.HTTP, namespace, name, parent.key, parent.namespace, rules=rules)


def to(*backends: tuple[Service, int]) -> tuple[Backend, ...]:
    return tuple(Backend(one.key, 80, weight) for one, weight in backends)


@MIXES
async def test_a_request_is_the_same_at_the_other_end(caller: bool, backend: bool) -> None:
    of = spoken(backend)
    async with world(of) as it:
        app = App(http2=backend)
        await it.app(app, of)
        link = await it.link(http2=caller)
        head = RequestHead(b"POST", b"echo:80", b"/a/b?c=d", ((b"x-one", b"1"), (b"x-one", b"2"), (b"te", b"trailers")))
        with link.begin(head) as exchange:
            await exchange.send(Body(b"hello"))
            await exchange.send(Trailers(((b"x-sum", b"5"),)))
            await exchange.send(End())
            answer = told(await gather(exchange))
    assert (answer["method"], answer["path"], answer["authority"]) == ("POST", "/a/b?c=d", "echo:80")
    assert answer["size"] == 5
    assert answer["trailers"] == [["x-sum", "5"]]
    headers = answer["headers"]
    assert [text for name, text in headers if name == "x-one"] == ["1", "2"]
    assert ["te", "trailers"] in headers
    assert ["x-request-id", "id-1"] in headers


@MIXES
async def test_large_bodies_arrive_whole_in_both_directions(caller: bool, backend: bool) -> None:
    of = spoken(backend)
    sent = random.Random(7).randbytes(6_000_000)
    back = random.Random(8).randbytes(6_000_000)

    async def answer(exchange: Exchange, head: RequestHead) -> None:
        digest = hashlib.sha256()
        while not isinstance(event := await exchange.receive(), End):
            assert isinstance(event, Body)
            digest.update(event.data)
        await send_whole(exchange, ResponseHead(200, ((b"x-hash", digest.hexdigest().encode()),)), back)

    async with world(of) as it:
        await it.app(App(http2=backend, handler=answer), of)
        with trio.fail_after(20):
            events = await it.ask("/", "POST", body=sent, http2=caller)
        (record,) = await it.recorded(1)
    assert header(events, "x-hash") == hashlib.sha256(sent).hexdigest().encode()
    assert next(event.data for event in events if isinstance(event, Body)) == back
    assert (record.received, record.sent) == (len(sent), len(back))


@pytest.mark.parametrize("caller", [False, True])
async def test_large_bodies_pass_where_neither_side_is_a_tunnels_stream(caller: bool) -> None:
    """Nothing is declared, so the caller's stream comes as a socket; the endpoint is reached by plain TCP."""
    of = service(protocol=AppProtocol.UNKNOWN)
    body = random.Random(9).randbytes(3_000_000)

    async def mirror(exchange: Exchange, head: RequestHead) -> None:
        await exchange.send(ResponseHead(200))
        while not isinstance(event := await exchange.receive(), End):
            await exchange.send(event)
        await exchange.send(End())

    async with world(of) as it:
        ip = it.address()
        await it.nursery.start(it._listen, ip, 8080, App(http2=caller, handler=mirror).serve)
        it.put(endpoint("plain", ip, of, tunnel=TunnelProtocol.NONE))
        link = await it.link(http2=caller)
        with link.begin(RequestHead(b"POST", b"echo", b"/")) as exchange, trio.fail_after(20):
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    await exchange.send(Body(body))
                    await exchange.send(End())

                nursery.start_soon(send)
                events = await gather(exchange)
    assert b"".join(event.data for event in events if isinstance(event, Body)) == body


@MIXES
async def test_bodies_flow_both_ways_at_once(caller: bool, backend: bool) -> None:
    of = spoken(backend)

    async def mirror(exchange: Exchange, head: RequestHead) -> None:
        await exchange.send(ResponseHead(200))
        while not isinstance(event := await exchange.receive(), End):
            await exchange.send(event)
        await exchange.send(End())

    async with world(of) as it:
        await it.app(App(http2=backend, handler=mirror), of)
        link = await it.link(http2=caller)
        with link.begin(RequestHead(b"POST", b"echo", b"/")) as exchange, trio.fail_after(10):
            await exchange.send(Body(b"ping 0"))
            assert await exchange.receive() == ResponseHead(200)
            for number in range(1, 20):
                heard = await exchange.receive()
                assert isinstance(heard, Body)
                assert heard.data == b"ping %d" % (number - 1)
                await exchange.send(Body(b"ping %d" % number))
            await exchange.send(End())
            assert isinstance((await gather(exchange))[-1], End)


@MIXES
async def test_a_caller_that_does_not_read_holds_the_backend_back(caller: bool, backend: bool) -> None:
    """64 MiB are on offer; what leaves the backend is bounded by windows and buffers on the way."""
    of = spoken(backend)
    left = 0

    async def pour(exchange: Exchange, head: RequestHead) -> None:
        nonlocal left
        await exchange.send(ResponseHead(200))
        for _ in range(1024):
            await exchange.send(Body(bytes(65536)))
            left += 65536
        await exchange.send(End())

    async with world(of) as it:
        await it.app(App(http2=backend, handler=pour), of)
        link = await it.link(http2=caller)
        with link.begin(RequestHead(b"GET", b"echo", b"/", ends=True)) as exchange, trio.fail_after(20):
            await exchange.send(End())
            assert isinstance(await exchange.receive(), ResponseHead)
            before = -1
            while left != before:
                before = left
                await trio.sleep(0.2)
            assert left < 32 * 1024 * 1024
            rest = await gather(exchange)
    assert sum(len(event.data) for event in rest if isinstance(event, Body)) == 64 * 1024 * 1024


@MIXES
async def test_a_caller_that_goes_away_ends_the_backends_work(caller: bool, backend: bool) -> None:
    of = spoken(backend)
    heard: list[object] = []

    async def wait(exchange: Exchange, head: RequestHead) -> None:
        await exchange.receive()
        heard.append(await exchange.wait_cut())

    async with world(of) as it:
        await it.app(App(http2=backend, handler=wait), of)
        link = await it.link(http2=caller)
        with link.begin(RequestHead(b"GET", b"echo", b"/", ends=True)) as exchange:
            await exchange.send(End())
            await until(lambda: bool(it.upstream.connections))
        await until(lambda: bool(heard))
        (record,) = await it.recorded(1)
    assert record.refusal is not None
    assert record.refusal.reason is Reason.CALLER_GONE


@MIXES
async def test_a_backend_that_breaks_off_before_its_answer_is_503(caller: bool, backend: bool) -> None:
    of = spoken(backend)

    async def break_off(exchange: Exchange, head: RequestHead) -> None:
        exchange.reset(2)

    async with world(of) as it:
        await it.app(App(http2=backend, handler=break_off), of)
        assert status(await it.ask(http2=caller)) == 503
        (record,) = await it.recorded(1)
    assert record.refusal is not None
    assert record.refusal.reason is Reason.BACKEND_FAILED


@MIXES
async def test_an_answer_that_breaks_off_never_looks_whole(caller: bool, backend: bool) -> None:
    of = spoken(backend)

    async def break_off(exchange: Exchange, head: RequestHead) -> None:
        await exchange.send(ResponseHead(200))
        await exchange.send(Body(b"half"))
        await trio.testing.wait_all_tasks_blocked(0.05)
        exchange.reset(2)

    async with world(of) as it:
        await it.app(App(http2=backend, handler=break_off), of)
        events = await it.ask(http2=caller)
    assert isinstance(events[-1], Reset)


@MIXES
async def test_a_request_has_its_time(caller: bool, backend: bool) -> None:
    of = spoken(backend)

    async def sleep(exchange: Exchange, head: RequestHead) -> None:
        if head.path == b"/begun":
            await exchange.send(ResponseHead(200))
        await exchange.wait_cut()

    rule = RouteRule(backends=to((of, 1)), timeout=0.2)
    async with world(of, route(rule, parent=of)) as it:
        await it.app(App(http2=backend, handler=sleep), of)
        assert status(await it.ask("/", http2=caller)) == 504
        begun = await it.ask("/begun", http2=caller)
        assert status(begun) == 200
        assert isinstance(begun[-1], Reset)
        records = await it.recorded(2)
    assert {record.refusal.reason for record in records if record.refusal} == {Reason.REQUEST_TIMEOUT}


@MIXES
async def test_connections_are_kept_and_used_again(caller: bool, backend: bool) -> None:
    of = spoken(backend)
    async with world(of) as it:
        app = App(http2=backend)
        await it.app(app, of)
        link = await it.link(http2=caller)
        for _ in range(20):
            assert status(await it.ask(link=link)) == 200
        assert app.connections == 1
        assert len(app.asked) == 20


async def test_a_hundred_requests_at_once_share_one_http2_connection() -> None:
    of = spoken(True)
    async with world(of) as it:
        app = App(http2=True)
        await it.app(app, of)
        link = await it.link(http2=True)
        answers: list[int] = []

        async def one() -> None:
            answers.append(status(await it.ask(link=link)))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(one)
    assert answers == [200] * 100
    assert app.connections == 1


@pytest.mark.parametrize(("method", "expected"), [("GET", 200), ("DELETE", 200), ("POST", 503)])
async def test_a_reused_connection_that_is_dead_is_no_failure_where_asking_twice_is_safe(
    method: str, expected: int
) -> None:
    """The second request on every connection meets a backend that has gone."""

    async def serve_once(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await stream.receive_some()

    async with world(ECHO) as it:
        it.put(endpoint("echo-1", await it.pod(serve_once), ECHO))
        assert status(await it.ask()) == 200
        assert status(await it.ask("/", method)) == expected


async def test_interim_answers_pass() -> None:
    async def hint(exchange: Exchange, head: RequestHead) -> None:
        await exchange.send(Interim(103, ((b"link", b"</x>"),)))
        await send_whole(exchange, ResponseHead(200), b"")

    for caller in (False, True):
        async with world(ECHO) as it:
            await it.app(App(handler=hint), ECHO)
            events = await it.ask(http2=caller)
        assert events[0] == Interim(103, ((b"link", b"</x>"),))
        assert status(events) == 200


async def test_a_caller_that_waits_for_permission_gets_it_from_the_backend() -> None:
    """Expect: 100-continue travels to the backend, and so does its answer; the body follows only then."""

    async def permit(exchange: Exchange, head: RequestHead) -> None:
        assert (b"expect", b"100-continue") in head.headers
        await exchange.send(Interim(100))
        body = await exchange.receive()
        assert isinstance(body, Body)
        await send_whole(exchange, ResponseHead(200), body.data)

    async with world(ECHO) as it:
        await it.app(App(handler=permit), ECHO)
        link = await it.link()
        head = RequestHead(b"POST", b"echo", b"/", ((b"expect", b"100-continue"), (b"content-length", b"2")))
        with link.begin(head) as exchange:
            assert await exchange.receive() == Interim(100)
            await exchange.send(Body(b"ok"))
            await exchange.send(End())
            assert Body(b"ok") in await gather(exchange)


async def test_an_upgrade_becomes_a_pipe() -> None:
    async def shout(exchange: Exchange, head: RequestHead) -> None:
        assert head.upgrade == b"websocket"
        await exchange.receive()
        await exchange.send(ResponseHead(101, ((b"sec-websocket-accept", b"x"),), upgrade=b"websocket"))
        while not isinstance(event := await exchange.receive(), End):
            assert isinstance(event, Body)
            await exchange.send(Body(event.data.upper()))
        await exchange.send(Body(b"bye"))
        await exchange.send(End())

    async with world(ECHO) as it:
        await it.app(App(handler=shout), ECHO)
        stream = await it.open()
        with trio.fail_after(10):
            await stream.send_all(
                b"GET /chat HTTP/1.1\r\nHost: echo\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await stream.receive_some(1)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"upgrade: websocket\r\n" in head
            for word in (b"one", b"two", b"x" * 100_000):
                await stream.send_all(word)
                heard = b""
                while len(heard) < len(word):
                    heard += await stream.receive_some()
                assert heard == word.upper()
            await stream.send_eof()
            assert await stream.receive_some() == b"bye"
            assert await stream.receive_some() == b""
        (record,) = await it.recorded(1)
    assert record.http is not None
    assert record.http.status == 101


async def test_a_refused_upgrade_is_an_ordinary_answer() -> None:
    async with world(ECHO) as it:
        await it.app(App(), ECHO)
        link = await it.link()
        head = RequestHead(b"GET", b"echo", b"/", ends=True, upgrade=b"websocket")
        with link.begin(head) as exchange:
            await exchange.send(End())
            assert status(await gather(exchange)) == 200


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: x\n\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    ],
)
async def test_a_malformed_request_is_answered_and_recorded(request_text: bytes, expected: bytes) -> None:
    async with world(ECHO) as it:
        await it.app(App(), ECHO)
        stream = await it.open()
        with trio.fail_after(5):
            await stream.send_all(request_text)
            answer = b""
            while data := await stream.receive_some():
                answer += data
        (record,) = await it.recorded(1)
    assert answer.startswith(b"HTTP/1.1 " + expected)
    assert b"connection: close" in answer
    assert record.http is not None
    assert record.http.status == int(expected)


async def test_requests_in_a_pipeline_are_answered_in_order() -> None:
    async with world(ECHO) as it:
        await it.app(App(), ECHO)
        stream = await it.open()
        with trio.fail_after(5):
            await stream.send_all(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(5)))
            await stream.send_all(b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers = b""
            while data := await stream.receive_some():
                answers += data
    places = [answers.index(b'"path": "/%s"' % name) for name in (b"0", b"1", b"2", b"3", b"4", b"last")]
    assert places == sorted(places)
