"""What a waypoint decides, seen from outside on loopback: routes, policies, endpoints, configuration that changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import trio
import trio.testing

from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.refusal import Reason, Refusal
from mesh.route import (
    Backend,
    HeaderModifier,
    PathChange,
    PathMatch,
    Redirect,
    ResponseHeaders,
    Rewrite,
    Route,
    RouteKind,
    RouteMatch,
    RouteRule,
    ValueMatch,
)
from mesh.snapshot import Drop
from mesh.workload import Service, TunnelProtocol, Workload
from tests.http_exchange import Exchange, send_whole
from tests.waypoint_app import App, header, status, told
from tests.waypoint_ends import BOUND, endpoint, gather, service, world
from waypoint.http.events import Body, End, RequestHead, ResponseHead

ECHO = service()


def route(*rules: RouteRule, name: str = "echo", namespace: str = "shop", parent: Service = ECHO) -> Route:
    key = f"HTTPRoute/{namespace}/{name}/{parent.key}/*"
    return Route(key, RouteKind.HTTP, namespace, name, parent.key, parent.namespace, rules=rules)


def to(*backends: tuple[Service, int]) -> tuple[Backend, ...]:
    return tuple(Backend(one.key, 80, weight) for one, weight in backends)


async def test_weights_share_a_thousand_requests() -> None:
    one, two = service("one", "10.96.0.2"), service("two", "10.96.0.3")
    split = route(RouteRule(backends=to((one, 90), (two, 10))))
    async with world(ECHO, one, two, split, seed=42) as it:
        await it.app(App("one-1"), one)
        await it.app(App("two-1"), two)
        link = await it.link()
        pods = Counter([told(await it.ask(link=link))["pod"] for _ in range(1000)])
    assert 870 <= pods["one-1"] <= 930
    assert pods["one-1"] + pods["two-1"] == 1000


async def test_the_best_rule_decides_and_the_record_names_it() -> None:
    one, two = service("one", "10.96.0.2"), service("two", "10.96.0.3")
    canary = RouteMatch(headers=(ValueMatch("x-canary", "yes"),))
    routes = route(RouteRule(backends=to((one, 1))), RouteRule((canary,), backends=to((two, 1))))
    async with world(ECHO, one, two, routes) as it:
        await it.app(App("one-1"), one)
        await it.app(App("two-1"), two)
        assert told(await it.ask())["pod"] == "one-1"
        assert told(await it.ask("/", "GET", (b"x-canary", b"yes")))["pod"] == "two-1"
        records = await it.recorded(2)
    assert [record.http.route for record in records if record.http] == [
        "HTTPRoute/shop/echo#1",
        "HTTPRoute/shop/echo#2",
    ]
    assert [record.http.backend for record in records if record.http] == [one.key, two.key]


async def test_filters_change_request_and_answer() -> None:
    match = RouteMatch(PathMatch(value="/old"))
    rewrite = Rewrite("other.example", PathChange("/new", prefix=True))
    stamp = ResponseHeaders(HeaderModifier(set=(("x-stamp", "here"),)))
    rule = RouteRule((match,), (rewrite, stamp), to((ECHO, 1)))
    async with world(ECHO, route(rule)) as it:
        await it.app(App(), ECHO)
        events = await it.ask("/old/thing?q=1")
    assert (told(events)["path"], told(events)["authority"]) == ("/new/thing?q=1", "other.example")
    assert header(events, "x-stamp") == b"here"


@pytest.mark.parametrize("caller", [False, True])
async def test_what_the_waypoint_answers_itself(caller: bool) -> None:
    empty = service("empty", "10.96.0.2")
    rules = (
        RouteRule((RouteMatch(PathMatch(value="/moved")),), (Redirect(host="example.org"),)),
        RouteRule((RouteMatch(PathMatch(value="/broken")),), backends=(Backend("", 0, broken="no such service"),)),
        RouteRule((RouteMatch(PathMatch(value="/none")),)),
        RouteRule((RouteMatch(PathMatch(value="/empty")),), backends=to((empty, 1))),
    )
    async with world(ECHO, empty, route(*rules)) as it:
        answers = {
            path: await it.ask(path, http2=caller) for path in ("/moved/x", "/broken", "/none", "/empty", "/lost")
        }
        records = await it.recorded(5)
    assert [status(events) for events in answers.values()] == [302, 500, 500, 503, 404]
    assert header(answers["/moved/x"], "location") == b"http://example.org/moved/x"
    reasons = [record.refusal.reason for record in records if record.refusal]
    assert reasons == [Reason.BROKEN_ROUTE, Reason.BROKEN_ROUTE, Reason.NO_HEALTHY_ENDPOINT, Reason.NO_ROUTE]


async def test_policies_are_enforced_on_each_request() -> None:
    admin = Rule((Clause((Match(paths=(TextMatch(TextMatchKind.PREFIX, "/admin"),)),)),))
    deny = Policy(
        "no-admin", "shop", Scope.TARGET, Action.DENY, (admin,), targets=(Target("Gateway", "shop", "waypoint"),)
    )
    async with world(ECHO, deny) as it:
        await it.app(App(), ECHO)
        assert status(await it.ask("/public")) == 200
        for path in ("/admin", "/x/../admin", "/%61dmin", "/x/%2e%2e/admin", "/x\\..\\admin"):
            denied = await it.ask(path)
            assert status(denied) == 403, path
            assert Body(b"RBAC: access denied") in denied
        records = await it.recorded(6)
    assert records[1].policy == "shop/no-admin"
    assert records[1].refusal is not None
    assert records[1].refusal.detail == "rule 1 of DENY policy shop/no-admin matches"


async def test_a_request_in_flight_keeps_the_configuration_that_it_began_with() -> None:
    going = trio.Event()
    go = trio.Event()

    async def wait(exchange: Exchange, head: RequestHead) -> None:
        going.set()
        await go.wait()
        await send_whole(exchange, ResponseHead(200), b"done")

    def stamped(text: str) -> Route:
        stamp = ResponseHeaders(HeaderModifier(set=(("x-stamp", text),)))
        return route(RouteRule(filters=(stamp,), backends=to((ECHO, 1))))

    async with world(ECHO, stamped("old")) as it:
        await it.app(App(handler=wait), ECHO)
        link = await it.link(http2=True)
        with link.begin(RequestHead(b"GET", b"echo", b"/", ends=True)) as exchange:
            await exchange.send(End())
            await going.wait()
            it.put(stamped("new"))
            it.change(*(Drop(Workload, uid) for uid in it.snapshot.workloads))
            go.set()
            assert header(await gather(exchange), "x-stamp") == b"old"
        assert status(await it.ask(link=link)) == 503


async def test_a_pipe_ends_when_its_request_would_be_denied_now_and_requests_go_on() -> None:
    going, go = trio.Event(), trio.Event()

    async def serve(exchange: Exchange, head: RequestHead) -> None:
        if head.upgrade:
            await exchange.receive()
            await exchange.send(ResponseHead(101, upgrade=b"websocket"))
            await exchange.wait_cut()
        else:
            going.set()
            await go.wait()
            await send_whole(exchange, ResponseHead(200), b"done")

    deny = Policy("nobody", "shop", Scope.TARGET, Action.DENY, (Rule(),), targets=(Target("Service", "shop", "echo"),))
    async with world(ECHO) as it:
        await it.app(App(handler=serve), ECHO)
        pipe, plain = await it.link(), await it.link()
        chat = pipe.begin(RequestHead(b"GET", b"echo", b"/chat", ends=True, upgrade=b"websocket"))
        request = plain.begin(RequestHead(b"GET", b"echo", b"/", ends=True))
        with chat, request, trio.fail_after(10):
            await chat.send(End())
            assert (await chat.receive()).status == 101
            await request.send(End())
            await going.wait()
            it.put(replace(ECHO, hostname="echo.shop.svc.cluster.local"))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not it.records
            it.put(deny)
            await chat.wait_cut()
            go.set()
            assert status(await gather(request)) == 200
        denied, finished = await it.recorded(2)
    assert denied.refusal == Refusal(Reason.POLICY_DENIED, "rule 1 of DENY policy shop/nobody matches")
    assert finished.refusal is None


async def test_what_is_unbound_meanwhile_is_refused_and_not_bypassed() -> None:
    async with world(ECHO) as it:
        await it.app(App(), ECHO)
        link = await it.link()
        assert status(await it.ask(link=link)) == 200
        it.change(Drop(Service, ECHO.key))
        assert status(await it.ask(link=link)) == 503


@pytest.mark.parametrize("caller", [False, True])
async def test_drain_finishes_what_is_in_progress(caller: bool) -> None:
    going, go = trio.Event(), trio.Event()

    async def wait(exchange: Exchange, head: RequestHead) -> None:
        going.set()
        await go.wait()
        await send_whole(exchange, ResponseHead(200), b"done")

    async with world(ECHO) as it:
        await it.app(App(handler=wait), ECHO)
        link = await it.link(http2=caller)
        with link.begin(RequestHead(b"GET", b"echo", b"/", ends=True)) as exchange:
            await exchange.send(End())
            await going.wait()
            it.server.drain()
            go.set()
            events = await gather(exchange)
        assert status(events) == 200
        assert isinstance(events[-1], End)
        with trio.fail_after(5):
            await it.server.wait_drained()
        assert not link.usable


async def test_an_endpoint_without_a_proxy_is_called_directly() -> None:
    async with world(ECHO) as it:
        ip = it.address()
        await it.nursery.start(it._listen, ip, 8080, App().serve)
        it.put(endpoint("plain", ip, ECHO, tunnel=TunnelProtocol.NONE))
        assert status(await it.ask()) == 200
        (record,) = await it.recorded(1)
    assert record.tunnel is None


async def test_an_endpoint_that_cannot_be_reached_is_503() -> None:
    async with world(ECHO) as it:
        it.put(endpoint("gone", it.address(), ECHO))
        assert status(await it.ask()) == 503
        (record,) = await it.recorded(1)
    assert record.refusal is not None
    assert record.refusal.reason is Reason.CONNECT_FAILED


async def test_a_pod_is_served_by_its_address_where_the_waypoint_stands_before_pods() -> None:
    async with world() as it:
        ip = await it.pod(App().serve)
        it.put(replace(endpoint("solo", ip), waypoint=BOUND))
        assert told(await it.ask(authority=f"{ip}:8080"))["pod"] == "echo-1"


async def test_a_service_is_served_by_its_host_name() -> None:
    async with world(ECHO) as it:
        await it.app(App(), ECHO)
        assert status(await it.ask(authority=f"{ECHO.hostname}:80")) == 200
