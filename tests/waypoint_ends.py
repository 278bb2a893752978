"""A waypoint on loopback between real tunnels: callers before it, endpoints behind it, and a snapshot to decide by."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import trio

from mesh.address import Address, NetworkAddress
from mesh.health import Health
from mesh.identity import Identity
from mesh.net.admin import listener
from mesh.net.deadlines import Deadlines
from mesh.net.pool import Pool, PoolKey
from mesh.net.relay import Relay
from mesh.net.tls import ClientTls, ServerTls
from mesh.net.tunnel import Rejected, Stream
from mesh.record import Record
from mesh.sampling import Sampling
from mesh.snapshot import Change, Put, Snapshot
from mesh.workload import (
    AppProtocol,
    GatewayAddress,
    Membership,
    NamespacedHostname,
    Port,
    Service,
    TunnelProtocol,
    Workload,
)
from tests.http_exchange import Exchange
from tests.http_link import Link
from tests.pki_for_tests import WEB, credentials
from tests.reference_http2 import Http2
from tests.tunnel_ends import Inbound, running_relay, until
from tests.waypoint_app import App
from waypoint.callee import Gateway
from waypoint.http.events import Body, End, Event, RequestHead, Reset
from waypoint.http.http1_client import Http1Client
from waypoint.scene import Scene
from waypoint.server import Server
from waypoint.upstream import Upstream

HERE = Gateway("shop", "waypoint")
WAYPOINT = Identity("cluster.local", "shop", "waypoint")
BACKEND = Identity("cluster.local", "shop", "echo")
VIP = "10.96.0.1"
BOUND = GatewayAddress(NamespacedHostname("shop", "waypoint.shop.svc.cluster.local"))

_hosts = itertools.count(1)


def service(
    name: str = "echo",
    vip: str = VIP,
    port: int = 80,
    target: int = 8080,
    protocol: AppProtocol = AppProtocol.HTTP11,
    namespace: str = "shop",
) -> Service:
    """A service bound to the waypoint."""
    return Service(
        name,
        namespace,
        f"{name}.{namespace}.svc.cluster.local",
        (NetworkAddress("", ip_address(vip)),),
        (Port(port, target, protocol),),
        waypoint=BOUND,
        canonical=True,
    )


def endpoint(name: str, ip: str, *services: Service, tunnel: TunnelProtocol = TunnelProtocol.HBONE) -> Workload:
    """A pod behind services."""
    return Workload(
        f"Kubernetes//Pod/shop/{name}",
        name,
        "shop",
        "echo",
        addresses=(ip_address(ip),),
        tunnel=tunnel,
        services=tuple(Membership(one.key, one.ports) for one in services),
        workload_name=name,
        canonical_name=name,
    )


@dataclass
class World:
    """Everything that runs, and what can be changed while it does."""

    relay: Relay
    server: Server
    at: Address
    pool: Pool
    nursery: trio.Nursery
    upstream: Upstream
    health: Health
    snapshot: Snapshot = field(default_factory=Snapshot)
    records: list[Record] = field(default_factory=list)
    inbounds: list[Inbound] = field(default_factory=list)
    """The proxies of the pods."""

    def change(self, *changes: Change) -> None:
        """Configure anew, as istiod would."""
        self.snapshot = self.snapshot.apply(changes)
        self.server.recheck()

    def put(self, *resources: object) -> None:
        """Add or replace resources."""
        self.change(*(Put(one) for one in resources))  # type: ignore[arg-type]

    async def recorded(self, count: int) -> list[Record]:
        """The records, once there are so many: they are made when a request is over at the waypoint."""
        await until(lambda: len(self.records) >= count)
        return self.records

    async def connect(self, authority: str, *headers: tuple[bytes, bytes]) -> Stream | Rejected:
        """A caller's tunnel stream to the waypoint."""
        return await self.pool.connect(PoolKey(frozenset({WAYPOINT}), self.at), authority, headers)

    async def open(self, authority: str = f"{VIP}:80") -> trio.abc.HalfCloseableStream:
        """The same as bytes; the waypoint must accept."""
        stream = await self.connect(authority)
        assert isinstance(stream, Stream), stream
        return stream.open()

    async def link(self, authority: str = f"{VIP}:80", *headers: tuple[bytes, bytes], http2: bool = False) -> Link:
        """A caller that speaks HTTP with our own client; `headers` go with its CONNECT."""
        stream = await self.connect(authority, *headers)
        assert isinstance(stream, Stream), stream
        made = Link(stream.open(), Http2(client=True) if http2 else Http1Client(), stream.reset)
        self.nursery.start_soon(made.run)
        return made

    async def ask(
        self,
        path: str = "/",
        method: str = "GET",
        *headers: tuple[bytes, bytes],
        body: bytes = b"",
        host: str = "echo",
        authority: str = f"{VIP}:80",
        http2: bool = False,
        link: Link | None = None,
    ) -> list[Event]:
        """One request on a connection of its own, or on the one given, and all that comes back."""
        on = link or await self.link(authority, http2=http2)
        head = RequestHead(method.encode(), host.encode(), path.encode(), headers, ends=not body)
        exchange = on.begin(head)
        assert exchange is not None
        with exchange:
            if body:
                await exchange.send(Body(body))
            await exchange.send(End())
            return await gather(exchange)

    async def app(self, app: App, *services: Service, port: int = 8080) -> None:
        """A pod with this application, behind these services."""
        ip = await self.pod(app.serve, port)
        self.put(endpoint(app.name, ip, *services))

    async def door(self, authority: str = f"{VIP}:80") -> int:
        """A local port behind which the authority is, for callers that know nothing of tunnels."""
        listening = trio.socket.socket()
        await listening.bind(("127.0.0.1", 0))
        listening.listen(64)

        async def carry(connection: socket.socket) -> None:
            stream = await self.connect(authority)
            if isinstance(stream, Rejected):
                connection.close()
            else:
                await stream.splice(connection).wait()

        async def accept() -> None:
            while True:
                connection, _ = await listening.accept()
                self.nursery.start_soon(carry, socket.socket(fileno=connection.detach()))

        self.nursery.start_soon(accept)
        return int(listening.getsockname()[1])

    async def pod(self, serve: Callable[[trio.SocketStream], object], port: int = 8080) -> str:
        """A pod with its proxy: its IP. `serve` is the application on the port."""
        ip = self.address()
        await self.nursery.start(self._listen, ip, port, serve)
        await self.proxy(ip)
        return ip

    async def proxy(self, ip: str) -> None:
        """The inbound proxy of the pod at this address."""
        inbound = Inbound(self.relay, credentials(BACKEND))
        self.inbounds.append(inbound)

        async def enter(stream: trio.SocketStream) -> None:
            await inbound.serve(socket.socket(fileno=stream.socket.detach()))

        await self.nursery.start(self._listen, ip, 15008, enter)

    @staticmethod
    def address() -> str:
        """A loopback address of its own."""
        number = next(_hosts)
        return f"127.83.{number // 250}.{number % 250 + 1}"

    async def _listen(self, ip: str, port: int, serve, task_status) -> None:  # type: ignore[no-untyped-def]
        listeners = await trio.open_tcp_listeners(port, host=ip)
        await trio.serve_listeners(serve, listeners, task_status=task_status)


@asynccontextmanager
async def world(
    *resources: object, seed: int = 1, sniff_seconds: float = 0.2, sampling: Sampling | None = None
) -> AsyncIterator[World]:
    """A waypoint that runs, told of these resources; one that makes spans if told which to keep."""
    async with running_relay() as relay, trio.open_nursery() as nursery:
        records: list[Record] = []
        made: list[World] = []
        deadlines = Deadlines()
        nursery.start_soon(deadlines.run)
        upstream = Upstream(relay, deadlines, Pool(relay, ClientTls(credentials(WAYPOINT))), connect_seconds=3)
        dice = random.Random(seed).random
        ids = (f"id-{number}" for number in itertools.count(1))
        scene = Scene(
            HERE,
            lambda: made[0].snapshot,
            relay,
            deadlines,
            upstream,
            records.append,
            dice,
            lambda: next(ids),
            sniff_seconds,
            sampling=sampling,
        )
        tls = ServerTls(credentials(WAYPOINT))
        server = Server(scene, relay, lambda: tls)
        listening = listener("127.0.0.1", 0)
        at = Address(ip_address("127.0.0.1"), listening.socket.getsockname()[1])
        pool = Pool(relay, ClientTls(credentials(WEB)))
        made.append(World(relay, server, at, pool, nursery, upstream, scene.health, records=records))
        made[0].put(*resources)
        nursery.start_soon(server.serve, listening)
        yield made[0]
        nursery.cancel_scope.cancel()


async def gather(exchange: Exchange) -> list[Event]:
    """All events of an exchange until its end or reset, bodies joined."""
    events: list[Event] = []
    body = bytearray()
    while True:
        event = await exchange.receive()
        if isinstance(event, Body):
            body += event.data
            continue
        if body:
            events.append(Body(bytes(body)))
            body.clear()
        events.append(event)
        if isinstance(event, End | Reset):
            return events
