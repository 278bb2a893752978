"""A waypoint's place in traces: real tunnels and real HTTP on loopback."""

from __future__ import annotations

import pytest

from mesh.record import Event
from mesh.sampling import Format, Sampling, kept
from mesh.trace import SAMPLED, TRACEPARENT, TraceContext
from mesh.workload import AppProtocol
from tests.http_exchange import Exchange, send_whole
from tests.tunnel_ends import until
from tests.waypoint_app import App, status
from tests.waypoint_ends import VIP, World, gather, service, world
from waypoint.http.events import End, RequestHead, ResponseHead, value

ECHO = service()
CALLER = TraceContext("a" * 32, "b" * 16, SAMPLED)
EVERYTHING = Sampling(1.0)
NOTHING = Sampling(0.0)


def heard(app: App, number: int = -1) -> TraceContext | None:
    return TraceContext.parse(value(app.asked[number].headers, TRACEPARENT) or b"")


async def test_a_trace_travels_on_untouched_where_no_spans_are_made() -> None:
    async with world(ECHO) as it:
        await it.app(app := App(), ECHO)
        fields = ((b"traceparent", CALLER.encode()), (b"tracestate", b"a=1"), (b"b3", b"0"))
        assert status(await it.ask("/", "GET", *fields)) == 200
        (record,) = await it.recorded(1)
    assert [pair for pair in app.asked[0].headers if pair in fields] == list(fields)
    assert (record.trace, record.step) == (CALLER.trace, None)


@pytest.mark.parametrize("http2", [False, True])
async def test_a_waypoint_continues_the_callers_trace_and_tells_the_backend_and_its_proxy(http2: bool) -> None:
    echo = service(protocol=AppProtocol.HTTP2 if http2 else AppProtocol.HTTP11)
    async with world(echo, sampling=NOTHING) as it:
        await it.app(app := App(http2=http2), echo)
        fields = ((b"traceparent", CALLER.encode()), (b"tracestate", b"a=1"))
        assert status(await it.ask("/", "GET", *fields, http2=http2)) == 200
        (record,) = await it.recorded(1)
        connect = it.inbounds[0].requests[0].headers
    assert record.step is not None
    own = record.step.own
    assert (own.trace, record.step.parent, own.sampled, own.state) == (CALLER.trace, CALLER.span, True, "a=1")
    assert heard(app) == TraceContext(own.trace, own.span, own.flags)
    assert value(app.asked[0].headers, b"tracestate") == b"a=1"
    assert connect.get(TRACEPARENT) == own.encode()


async def test_the_first_request_on_a_kept_connection_continues_its_trace_and_the_next_is_linked_to_it() -> None:
    async with world(ECHO, sampling=NOTHING) as it:
        await it.app(App(), ECHO)
        link = await it.link(f"{VIP}:80", (TRACEPARENT, CALLER.encode()))
        for _ in range(2):
            assert status(await it.ask(link=link)) == 200
        first, second = [record.step for record in await it.recorded(2)]
    assert first is not None
    assert second is not None
    assert (first.own.trace, first.parent, first.own.sampled) == (CALLER.trace, CALLER.span, True)
    assert (second.parent, second.link, second.own.sampled) == ("", CALLER, False)


async def test_a_connection_that_nobody_keeps_decides_nothing() -> None:
    async with world(ECHO, sampling=EVERYTHING) as it:
        await it.app(App(), ECHO)
        link = await it.link(f"{VIP}:80", (TRACEPARENT, TraceContext(CALLER.trace, CALLER.span).encode()))
        assert status(await it.ask(link=link)) == 200
        (record,) = await it.recorded(1)
    assert record.step is not None
    assert record.step.own.sampled
    assert (record.step.link, record.step.own.trace == CALLER.trace) == (None, False)


async def test_an_error_is_kept_though_its_trace_is_not() -> None:
    async def fail(exchange: Exchange, _: RequestHead) -> None:
        while not isinstance(await exchange.receive(), End):
            pass
        await send_whole(exchange, ResponseHead(500), b"")

    async with world(ECHO, sampling=NOTHING) as it:
        await it.app(app := App(handler=fail), ECHO)
        assert status(await it.ask()) == 500
        app.handler = None
        assert status(await it.ask()) == 200
        assert [kept(record) for record in await it.recorded(2)] == [True, False]


async def test_b3_is_told_when_asked_for() -> None:
    async with world(ECHO, sampling=Sampling(1.0, (Format.B3, Format.W3C))) as it:
        await it.app(app := App(), ECHO)
        b3 = (b"b3", f"{CALLER.trace}-{CALLER.span}-1".encode())
        assert status(await it.ask("/", "GET", b3)) == 200
        (record,) = await it.recorded(1)
    assert record.step is not None
    assert record.step.parent == CALLER.span
    own = record.step.own
    assert value(app.asked[0].headers, b"b3") == f"{own.trace}-{own.span}-1".encode()
    assert heard(app) == own


async def test_a_connection_whose_content_is_opaque_is_a_span_between_those_of_its_proxies() -> None:
    tcp = service(protocol=AppProtocol.TCP)
    async with world(tcp, sampling=NOTHING) as it:
        await it.app(App(), tcp)
        link = await it.link(f"{VIP}:80", (TRACEPARENT, CALLER.encode()))
        with link.begin(RequestHead(b"GET", b"echo", b"/", ((b"connection", b"close"),), ends=True)) as exchange:
            await exchange.send(End())
            assert status(await gather(exchange)) == 200
        await closed(it)
        connect = it.inbounds[0].requests[0].headers
    opened, ended = it.records
    assert ended.step is not None
    assert (ended.step.own.trace, ended.step.parent, ended.trace) == (CALLER.trace, CALLER.span, CALLER.trace)
    assert connect.get(TRACEPARENT) == ended.step.own.encode()
    assert [kept(opened), kept(ended)] == [False, True]


async def closed(it: World) -> None:
    await until(lambda: any(record.event is Event.CLOSED for record in it.records))
