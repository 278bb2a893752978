"""External authorizers: real gRPC servers that a waypoint asks before a request goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import grpc
import pytest
import trio

from mesh.policy import Action, Authorizer, Clause, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.refusal import Reason
from mesh.route import Backend, Mirror, Redirect, Route, RouteKind, RouteRule
from mesh.workload import AppProtocol, Service, TunnelProtocol, Workload
from mesh.xds.pb import extauthz_pb2 as pb
from tests.http_exchange import Exchange
from tests.tunnel_ends import until
from tests.waypoint_app import App, header, status, told
from tests.waypoint_ends import World, endpoint, gather, service, world
from waypoint.http.events import Body, End, RequestHead

ECHO = service()
SHOP = (Target("Service", "shop", "echo"),)
ALLOWED = pb.CheckResponse(status=pb.Status(code=0), ok_response=pb.OkHttpResponse())
DENIED = pb.CheckResponse(status=pb.Status(code=7))
PATIENCE = 30.0


def option(name: str, value: str, action: int = 0, append: bool | None = None) -> pb.HeaderValueOption:
    made = pb.HeaderValueOption(header=pb.HeaderValue(key=name, value=value), append_action=action)
    if append is not None:
        made.append.value = append
    return made


@dataclass
class Peer:
    """An authorizer: what it answers, and what it was asked."""

    ip: str
    port: int = 0
    answer: Callable[[pb.CheckRequest], object] = lambda _: ALLOWED
    asked: list[pb.CheckRequest] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def resources(self) -> tuple[Service, Workload]:
        it = service("authz", "10.96.0.7", port=9000, target=self.port, protocol=AppProtocol.GRPC)
        return it, endpoint("authz-1", self.ip, it, tunnel=TunnelProtocol.NONE)


@contextmanager
def authorizer() -> Iterator[Peer]:
    peer = Peer(World.address())

    def check(request: bytes, context: grpc.ServicerContext) -> bytes:
        asked = pb.CheckRequest.FromString(request)
        peer.asked.append(asked)
        found = peer.answer(asked)
        if isinstance(found, grpc.StatusCode):
            context.abort(found, "no")
        return found if isinstance(found, bytes) else found.SerializeToString()  # type: ignore[attr-defined]

    handler = grpc.unary_unary_rpc_method_handler(check)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": handler}),)
    )
    peer.port = server.add_insecure_port(f"{peer.ip}:0")
    server.start()
    try:
        yield peer
    finally:
        peer.released.set()
        server.stop(None).wait()


def custom(name: str = "ask", path: str = "", **changes: object) -> Policy:
    """A CUSTOM policy for everything, or for a path."""
    clauses = (Clause((Match(paths=(TextMatch(TextMatchKind.EXACT, path),)),)),) if path else ()
    whom = Authorizer("shop/authz.shop.svc.cluster.local", 9000, timeout=PATIENCE)
    whom = replace(whom, **changes)  # type: ignore[arg-type]
    return Policy(name, "shop", Scope.TARGET, Action.CUSTOM, (Rule(clauses),), targets=SHOP, authorizer=whom)


@pytest.mark.parametrize("http2", [False, True])
async def test_the_authorizer_decides_and_changes_headers(http2: bool) -> None:
    def answer(asked: pb.CheckRequest) -> pb.CheckResponse:
        if asked.attributes.request.http.headers.get("x-user") != "ann":
            denied = pb.DeniedHttpResponse(body="go away", headers=[option("x-why", "nobody")])
            denied.status.code = 418
            return pb.CheckResponse(status=pb.Status(code=7), denied_response=denied)
        ok = pb.OkHttpResponse(
            headers=[
                option("x-user", "Ann"), option("x-tag", "two", append=True), option("x-new", "1", action=1),
                option("x-tag", "never", action=1), option("x-none", "never", action=3),
                option("host", "evil.example"), option("content-length", "7"), option(":path", "/evil"),
            ],
            headers_to_remove=["x-secret", "host", ":method"],
            response_headers_to_add=[option("x-checked", "yes")],
        )  # fmt: skip
        return pb.CheckResponse(status=pb.Status(code=0), ok_response=ok)

    with authorizer() as peer:
        peer.answer = answer
        async with world(ECHO, *peer.resources, custom()) as it:
            await it.app(App(), ECHO)
            sent = ((b"x-user", b"ann"), (b"x-secret", b"s"), (b"x-tag", b"one"))
            good = await it.ask("/a?b=c", "PUT", *sent, body=b"hello", http2=http2)
            bad = await it.ask("/a", http2=http2)
            records = await it.recorded(2)
    assert (status(good), header(good, "x-checked")) == (200, b"yes")
    reached = told(good)
    headers = [tuple(one) for one in reached["headers"]]  # type: ignore[attr-defined]
    assert {one for one in headers if one[0] in {"x-user", "x-new", "x-none", "x-secret"}} == {
        ("x-user", "Ann"), ("x-new", "1")
    }  # fmt: skip
    assert [one[1] for one in headers if one[0] == "x-tag"] == ["one", "two"]
    assert (reached["authority"], reached["path"], reached["size"]) == ("echo", "/a?b=c", 5)
    assert (status(bad), header(bad, "x-why")) == (418, b"nobody")
    assert Body(b"go away") in bad
    http = peer.asked[0].attributes.request.http
    assert (http.method, http.path, http.host, http.headers["x-tag"]) == ("PUT", "/a?b=c", "echo", "one")
    assert peer.asked[0].attributes.source.principal == "spiffe://cluster.local/ns/shop/sa/web"
    assert peer.asked[0].attributes.destination.service == f"{ECHO.key}:80"
    refusal = records[1].refusal
    assert refusal is not None
    assert (refusal.reason, records[1].policy) == (Reason.POLICY_DENIED, "shop/ask")


async def test_only_what_the_policy_matches_is_asked_about_and_a_denial_needs_no_asking() -> None:
    rule = Rule((Clause((Match(methods=(TextMatch(TextMatchKind.EXACT, "DELETE"),)),)),))
    deny = Policy("no-delete", "shop", Scope.TARGET, Action.DENY, (rule,), targets=SHOP)
    with authorizer() as peer:
        async with world(ECHO, *peer.resources, custom(path="/private"), deny) as it:
            await it.app(App(), ECHO)
            link = await it.link()
            assert status(await it.ask("/public", link=link)) == 200
            assert status(await it.ask("/private", "DELETE", link=link)) == 403
            assert not peer.asked
            assert status(await it.ask("/x/../private", link=link)) == 200
            assert [one.attributes.request.http.path for one in peer.asked] == ["/private"]


async def test_a_redirect_is_told_to_nobody_who_is_not_allowed() -> None:
    routes = Route("HTTPRoute/shop/r", RouteKind.HTTP, "shop", "r", ECHO.key, "shop",
                   rules=(RouteRule(filters=(Redirect(host="secret.example"),)),))  # fmt: skip
    with authorizer() as peer:
        peer.answer = lambda _: DENIED
        async with world(ECHO, *peer.resources, custom(), routes) as it:
            denied = await it.ask()
            peer.answer = lambda _: ALLOWED
            allowed = await it.ask()
    assert (status(denied), header(denied, "location")) == (403, None)
    assert (status(allowed), header(allowed, "location")) == (302, b"http://secret.example/")


BROKEN: dict[str, object] = {
    "gRPC failure": grpc.StatusCode.UNAVAILABLE,
    "nothing": b"",
    "noise": b"\xff\xff\xff",
    "line end in a header": pb.CheckResponse(
        status=pb.Status(code=0), ok_response=pb.OkHttpResponse(headers=[option("x-a", "1\r\nx-admin: yes")])
    ),
    "too many headers": pb.CheckResponse(
        status=pb.Status(code=0), ok_response=pb.OkHttpResponse(headers=[option("x-a", "1")] * 200)
    ),
    "denial with status OK": pb.CheckResponse(status=pb.Status(code=0), denied_response=pb.DeniedHttpResponse()),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_allowance_denies(name: str) -> None:
    with authorizer() as peer:
        peer.answer = lambda _: BROKEN[name]
        async with world(ECHO, *peer.resources, custom(status=503)) as it:
            app = App()
            await it.app(app, ECHO)
            assert status(await it.ask()) == (403 if name == "denial with status OK" else 503)
            assert not app.asked


@pytest.mark.parametrize("open_", [False, True])
async def test_who_cannot_be_asked_denies_unless_its_author_wants_otherwise(open_: bool) -> None:
    async with world(ECHO, custom(fail_open=open_)) as it:
        await it.app(App(), ECHO)
        assert status(await it.ask()) == (200 if open_ else 403)
        nowhere = Peer(it.address(), 9)
        it.put(*nowhere.resources)
        assert status(await it.ask()) == (200 if open_ else 403)
        if not open_:
            records = await it.recorded(2)
            assert [one.refusal.reason for one in records if one.refusal] == [Reason.AUTHORIZER_FAILED] * 2
            assert records[0].refusal is not None
            assert "the mesh knows no service shop/authz" in records[0].refusal.detail


async def test_a_silent_authorizer_has_its_time_and_no_more() -> None:
    with authorizer() as peer:

        def wait(_: pb.CheckRequest) -> pb.CheckResponse:
            peer.released.wait(PATIENCE)
            return ALLOWED

        peer.answer = wait
        async with world(ECHO, *peer.resources, custom(timeout=0.2)) as it:
            await it.app(App(), ECHO)
            assert status(await it.ask()) == 403
            (record,) = await it.recorded(1)
    assert record.refusal is not None
    assert "there was no answer within 0.2 s" in record.refusal.detail


async def test_what_the_caller_says_meanwhile_waits_and_mirrors_hear_it_too() -> None:
    asked, go = threading.Event(), threading.Event()

    def wait(_: pb.CheckRequest) -> pb.CheckResponse:
        asked.set()
        go.wait(PATIENCE)
        return ALLOWED

    copy = service("copy", "10.96.0.3")
    rule = RouteRule(filters=(Mirror(copy.key, 80),), backends=(Backend(ECHO.key, 80),))
    routes = Route("HTTPRoute/shop/r", RouteKind.HTTP, "shop", "r", ECHO.key, "shop", rules=(rule,))
    sizes: list[int] = []

    async def copied(exchange: Exchange, _: RequestHead) -> None:
        size = 0
        while not isinstance(event := await exchange.receive(), End):
            size += len(event.data) if isinstance(event, Body) else 0
        sizes.append(size)

    with authorizer() as peer:
        peer.answer = wait
        async with world(ECHO, copy, *peer.resources, custom(), routes) as it:
            app, mirror = App(), App("copy-1", handler=copied)
            await it.app(app, ECHO)
            await it.app(mirror, copy)
            link = await it.link(http2=True)
            with link.begin(RequestHead(b"POST", b"echo", b"/")) as exchange, trio.fail_after(PATIENCE):
                await exchange.send(Body(b"x" * 10_000))
                await trio.to_thread.run_sync(asked.wait, PATIENCE)
                assert not app.asked
                await exchange.send(Body(b"y" * 10_000))
                await exchange.send(End())
                go.set()
                events = await gather(exchange)
            await until(lambda: bool(sizes))
    assert (told(events)["size"], sizes) == (20_000, [20_000])


async def test_a_caller_that_leaves_is_asked_about_no_more() -> None:
    asked = threading.Event()
    with authorizer() as peer:

        def wait(_: pb.CheckRequest) -> pb.CheckResponse:
            asked.set()
            peer.released.wait(PATIENCE)
            return ALLOWED

        peer.answer = wait
        async with world(ECHO, *peer.resources, custom()) as it:
            app = App()
            await it.app(app, ECHO)
            link = await it.link(http2=True)
            with link.begin(RequestHead(b"GET", b"echo", b"/", ends=True)) as exchange:
                await exchange.send(End())
                await trio.to_thread.run_sync(asked.wait, PATIENCE)
            (record,) = await it.recorded(1)
            peer.released.set()
            peer.answer = lambda _: ALLOWED
            assert status(await it.ask()) == 200
            assert len(app.asked) == 1
    assert record.refusal is not None
    assert record.refusal.reason is Reason.CALLER_GONE


async def test_policies_with_different_authorizers_or_none_deny() -> None:
    with authorizer() as peer:
        async with world(ECHO, *peer.resources, custom(), custom("other", port=9001)) as it:
            await it.app(App(), ECHO)
            assert status(await it.ask()) == 403
            it.put(replace(custom("other"), authorizer=None))
            assert status(await it.ask()) == 403
            it.put(custom("other"))
            assert status(await it.ask()) == 200
    assert len(peer.asked) == 1
