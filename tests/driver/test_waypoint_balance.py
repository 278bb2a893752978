"""Which endpoint a waypoint asks, by what it has learned of them: real tunnels and real HTTP on loopback."""

from __future__ import annotations

import textwrap

import trio

from istiod_lite import manifests
from istiod_lite.compile import Settings, compile_world
from istiod_lite.facts import read
from istiod_lite.world import World as Cluster
from mesh.route import Backend, Retry, Route, RouteKind, RouteRule
from mesh.traffic import HashOn, HashSource, LoadBalancing, OutlierDetection, Spread, Terms, TrafficPolicy
from mesh.workload import AppProtocol
from tests.http_exchange import Exchange, send_whole
from tests.tunnel_ends import until
from tests.waypoint_app import App, header, status
from tests.waypoint_ends import endpoint, service, world
from waypoint.http.events import Body, End, RequestHead, ResponseHead, Trailers

ECHO = service()


def uid(pod: str) -> str:
    return f"Kubernetes//Pod/shop/{pod}"


class Named:
    """Answers with its name, once it may."""

    def __init__(self, name: str, *, held: bool = False) -> None:
        self.name = name
        self.asked = 0
        self.gate = trio.Event()
        if not held:
            self.gate.set()

    async def __call__(self, exchange: Exchange, head: RequestHead) -> None:
        self.asked += 1
        await self.gate.wait()
        await send_whole(exchange, ResponseHead(200), self.name.encode())


async def test_an_endpoint_that_is_busy_gets_nothing_while_another_is_idle() -> None:
    busy, idle = Named("busy", held=True), Named("idle")
    async with world(ECHO) as it:
        await it.app(App("busy", handler=busy), ECHO)
        it.nursery.start_soon(it.ask)
        await until(lambda: busy.asked == 1)
        await it.app(App("idle", handler=idle), ECHO)
        answers = [await it.ask() for _ in range(10)]
        assert all(Body(b"idle") in events for events in answers)
        assert (busy.asked, it.health.open(uid("busy"))) == (1, 1)
        busy.gate.set()
        await until(lambda: not it.health.open(uid("busy")))


async def test_a_request_that_its_caller_gives_up_is_not_counted_any_more() -> None:
    busy = Named("busy", held=True)
    async with world(ECHO) as it:
        await it.app(App("busy", handler=busy), ECHO)
        patience = trio.CancelScope()

        async def ask() -> None:
            with patience:
                await it.ask()

        it.nursery.start_soon(ask)
        await until(lambda: busy.asked == 1)
        assert it.health.open(uid("busy")) == 1
        patience.cancel()
        await until(lambda: not it.health.open(uid("busy")))


async def test_a_pod_that_takes_no_connection_is_passed_over_and_one_that_answers_503_is_not() -> None:
    rule = RouteRule(backends=(Backend(ECHO.key, 80),), retry=Retry(1, (), 0.001))
    route = Route(
        f"HTTPRoute/shop/echo/{ECHO.key}/*", RouteKind.HTTP, "shop", "echo", ECHO.key, ECHO.namespace, rules=(rule,)
    )

    async def unwell(exchange: Exchange, head: RequestHead) -> None:
        await send_whole(exchange, ResponseHead(503), b"")

    async with world(ECHO, route) as it:
        dead = it.address()
        await it.proxy(dead)
        it.put(endpoint("dead", dead, ECHO))
        await it.app(App("unwell", handler=unwell), ECHO)
        while not it.health.passed_over(0.0):
            assert status(await it.ask()) == 503
        assert it.health.passed_over(0.0) == {uid("dead")}


def spreading(spread: Spread, hash_on: HashOn | None = None) -> TrafficPolicy:
    return TrafficPolicy(ECHO.key, "shop", "echo", Terms(balancing=LoadBalancing(spread, hash_on)))


async def test_callers_on_connections_of_their_own_take_turns() -> None:
    pods = [Named(name) for name in ("a", "b", "c")]
    async with world(ECHO, spreading(Spread.ROUND_ROBIN)) as it:
        for pod in pods:
            await it.app(App(pod.name, handler=pod), ECHO)
        for http2 in (False, True) * 3:
            await it.ask(http2=http2)
        assert [pod.asked for pod in pods] == [2, 2, 2]


async def test_a_browser_comes_back_to_its_pod_by_the_cookie_that_it_was_given() -> None:
    pods = [Named(name) for name in ("a", "b", "c")]
    policy = spreading(Spread.CONSISTENT_HASH, HashOn(HashSource.COOKIE, "pod", "/", 60.0))
    async with world(ECHO, policy) as it:
        for pod in pods:
            await it.app(App(pod.name, handler=pod), ECHO)
        for _ in range(4):
            first = await it.ask()
            cookie = header(first, "set-cookie")
            assert cookie is not None
            pair = cookie.partition(b"; ")[0]
            again = [await it.ask("/", "GET", (b"cookie", pair)) for _ in range(3)]
            assert {one[1] for one in again} == {first[1]}, "the body is the pod's name"
            assert {header(one, "set-cookie") for one in again} == {None}


def detecting(rule: OutlierDetection) -> TrafficPolicy:
    return TrafficPolicy(ECHO.key, "shop", "echo", Terms(outliers=rule))


class Unwell(Named):
    """Answers with an error."""

    def __init__(self, name: str, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        super().__init__(name)
        self.head = ResponseHead(status, headers)

    async def __call__(self, exchange: Exchange, head: RequestHead) -> None:
        self.asked += 1
        await send_whole(exchange, self.head, b"")


async def asked_until(it, unwell: Named, count: int) -> None:
    while unwell.asked < count:
        await it.ask()


async def test_a_pod_that_answers_with_errors_is_passed_over() -> None:
    unwell, well = Unwell("unwell", status=500), Named("well")
    async with world(ECHO, detecting(OutlierDetection(errors=2, ejection=3000.0))) as it:
        for pod in (unwell, well):
            await it.app(App(pod.name, handler=pod), ECHO)
        await asked_until(it, unwell, 2)
        assert [status(await it.ask()) for _ in range(20)] == [200] * 20
        assert unwell.asked == 2


async def test_a_grpc_pod_is_judged_by_its_trailers() -> None:
    async def unavailable(exchange: Exchange, head: RequestHead) -> None:
        unwell.asked += 1
        await exchange.send(ResponseHead(200, ((b"content-type", b"application/grpc"),)))
        await exchange.send(Trailers(((b"grpc-status", b"14"),)))
        await exchange.send(End())

    unwell, well = Named("unwell"), Named("well")
    rpc = service(protocol=AppProtocol.GRPC)
    async with world(rpc, detecting(OutlierDetection(gateway_errors=1, ejection=3000.0))) as it:
        await it.app(App("unwell", http2=True, handler=unavailable), rpc)
        await it.app(App("well", http2=True, handler=well), rpc)
        while not unwell.asked:
            await it.ask(http2=True)
        for _ in range(20):
            await it.ask(http2=True)
        assert (unwell.asked, well.asked >= 20) == (1, True)


async def test_a_pod_that_says_when_to_come_again_is_left_alone_until_then() -> None:
    busy, well = Unwell("busy", (b"retry-after", b"200"), status=429), Named("well")
    async with world(ECHO, detecting(OutlierDetection(retry_after=True))) as it:
        for pod in (busy, well):
            await it.app(App(pod.name, handler=pod), ECHO)
        await asked_until(it, busy, 1)
        assert [status(await it.ask()) for _ in range(20)] == [200] * 20
        assert busy.asked == 1


async def test_a_waypoint_keeps_to_a_destination_rule() -> None:
    text = """
        apiVersion: v1
        kind: Service
        metadata: {name: echo, namespace: shop}
        spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
        ---
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: echo, namespace: shop}
        spec:
          host: echo
          trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
    """
    objects, problems = manifests.load({"a.yaml": textwrap.dedent(text)})
    facts = [one for one in map(read, objects) if not isinstance(one, list)]
    [policy] = compile_world(Cluster.of(facts), Settings()).traffic.values()
    pods = [Named(name) for name in ("a", "b", "c")]
    async with world(ECHO, policy) as it:
        for pod in pods:
            await it.app(App(pod.name, handler=pod), ECHO)
        for _ in range(5):
            await it.ask("/", "GET", (b"x-user", b"ann"))
    assert problems == []
    assert sorted(pod.asked for pod in pods) == [0, 0, 5]
