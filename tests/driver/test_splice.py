"""Application sockets through a tunnel: what goes in at one end comes out at the other, whatever happens."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import pytest
import trio

from mesh.address import Address
from mesh.net.flow import Flow
from mesh.net.relay import Relay
from mesh.net.tls import ClientTls
from mesh.net.tunnel import Request, Stream, Tunnel
from tests.pki_for_tests import CART, WEB, credentials
from tests.tunnel_ends import Inbound, Serve, echo, exchange, listening, running_relay, until

MIB = 1024 * 1024


@dataclass
class Path:
    """application -> outbound -> tunnel -> inbound -> server, with what each end knows about it."""

    relay: Relay
    tunnel: Tunnel
    inbound: Inbound
    server: Address
    flows: list[Flow]

    async def application(self) -> trio.SocketStream:
        """A new connection of the application; its other end is spliced to a new stream."""
        stream = await self.tunnel.connect(str(self.server))
        assert isinstance(stream, Stream)
        ours, theirs = tcp_pair()
        self.flows.append(stream.splice(theirs))
        return trio.SocketStream(trio.socket.from_stdlib_socket(ours))


@asynccontextmanager
async def path_to(server: Serve) -> AsyncIterator[Path]:
    async with running_relay() as relay, listening(server) as upstream:
        inbound = Inbound(relay, credentials(CART))
        async with listening(inbound.serve) as address:
            tunnel = await Tunnel.dial(relay, address, ClientTls(credentials(WEB)), frozenset([CART]))
            yield Path(relay, tunnel, inbound, upstream, [])


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets: unlike a socketpair they know about resets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setblocking(False)
    return one, other


def with_reset(stream: trio.SocketStream) -> None:
    """Close so that the other side sees a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def broken(stream: trio.SocketStream) -> None:
    """Read until the connection is found to be reset; an orderly end fails the test."""
    with trio.fail_after(5):
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            return
    pytest.fail("an orderly end in place of a reset")


def serving(act: Callable[[trio.SocketStream], Awaitable[None]]) -> Serve:
    async def serve(sock: socket.socket) -> None:
        await act(trio.SocketStream(trio.socket.from_stdlib_socket(sock)))

    return serve


async def test_eight_connections_at_once_bring_every_byte_back() -> None:
    async with path_to(echo) as path:
        streams = [await path.application() for _ in range(8)]
        same: list[bool] = []

        async def one(stream: trio.SocketStream, seed: int) -> None:
            async with stream:
                same.append(await exchange(stream, 2_000_000 + 100_000 * seed, seed))

        async with trio.open_nursery() as nursery:
            for seed, stream in enumerate(streams):
                nursery.start_soon(one, stream, seed)
        assert same == [True] * 8
        assert [(await flow.wait()).how for flow in path.flows] == ["fin"] * 8
        assert sum(flow.sent for flow in path.flows) == sum(flow.received for flow in path.flows) == 18_800_000
        assert all(flow.first_byte is not None for flow in path.flows)
        assert path.tunnel.streams == 0


async def test_half_close_travels_in_order_and_the_answer_comes_after_it() -> None:
    async def answer_at_the_end(stream: trio.SocketStream) -> None:
        size = 0
        async for data in stream:
            size += len(data)
        await stream.send_all(b"%d" % size)
        await stream.aclose()

    async with path_to(serving(answer_at_the_end)) as path:
        stream = await path.application()
        await stream.send_all(bytes(3 * MIB))
        await stream.send_eof()
        assert await stream.receive_some() == b"%d" % (3 * MIB)
        assert await stream.receive_some() == b""
        assert (await path.flows[0].wait()).how == "fin"


async def test_a_server_that_speaks_first_and_closes_is_heard() -> None:
    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"welcome")
        await stream.aclose()

    async with path_to(serving(greet)) as path:
        stream = await path.application()
        assert await stream.receive_some() == b"welcome"
        assert await stream.receive_some() == b""
        await stream.aclose()
        assert (await path.flows[0].wait()).how == "fin"


async def test_an_applications_reset_reaches_the_server() -> None:
    seen = trio.Event()

    async def expect_reset(stream: trio.SocketStream) -> None:
        await broken(stream)
        seen.set()

    async with path_to(serving(expect_reset)) as path:
        stream = await path.application()
        await stream.send_all(b"hello")
        await until(lambda: bool(path.inbound.requests))
        with_reset(stream)
        with trio.fail_after(5):
            await seen.wait()
            ending = await path.flows[0].wait()
        assert (ending.how, ending.detail) == ("reset", "the application: Connection reset by peer")


async def test_a_servers_reset_reaches_the_application() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        with_reset(stream)

    async with path_to(serving(reset)) as path:
        stream = await path.application()
        await stream.send_all(b"hello")
        await broken(stream)
        ending = await path.flows[0].wait()
        assert (ending.how, ending.detail) == ("reset", "the peer: CANCEL")


async def test_an_application_that_does_not_read_holds_up_nobody_else() -> None:
    """Its data waits at the server's end once its window is used up; memory in between is bounded by that window."""

    async def pour(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some(1) == b"!":
                await stream.send_all(bytes(100 * MIB))
            await stream.send_all(b"quick answer")

    async with path_to(serving(pour)) as path:
        lazy, lively = await path.application(), await path.application()
        await lazy.send_all(b"!")
        window = path.tunnel.connection.limits.stream_window
        await until(lambda: path.flows[0].received >= window)
        await lively.send_all(b"?")
        assert await lively.receive_some() == b"quick answer"
        in_kernel = 8 * MIB
        assert path.flows[0].received <= window + in_kernel
        with_reset(lazy)
        await path.flows[0].wait()


async def test_a_slow_reader_gets_everything_in_the_end() -> None:
    async with path_to(echo) as path:
        stream = await path.application()
        sent = bytes(range(256)) * (20 * MIB // 256)
        received = bytearray()

        async def read_slowly() -> None:
            while data := await stream.receive_some(100_000):
                received.extend(data)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_slowly)
            await stream.send_all(sent)
            await stream.send_eof()
        assert received == sent


async def test_aborting_a_flow_resets_both_sides() -> None:
    async with path_to(echo) as path:
        stream = await path.application()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
        path.flows[0].abort()
        assert (await path.flows[0].wait()).how == "aborted"
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await until(lambda: path.inbound.endings == ["reset"])


async def test_a_tunnel_that_breaks_resets_its_applications() -> None:
    async with path_to(echo) as path:
        stream = await path.application()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
        path.inbound.tunnels[0].abort()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        assert (await path.flows[0].wait()).how == "closed"
        with trio.fail_after(5):
            await path.tunnel.wait_closed()


async def test_a_draining_tunnel_lets_its_streams_end() -> None:
    async with path_to(echo) as path:
        stream = await path.application()
        await stream.send_all(b"hello")
        await stream.receive_some()
        path.inbound.tunnels[0].drain()
        await until(lambda: not path.tunnel.usable)
        assert await exchange(stream, MIB, seed=1)
        with trio.fail_after(5):
            await path.tunnel.wait_closed()
        assert (await path.flows[0].wait()).how == "fin"


async def test_refused_connects_leave_the_tunnel_usable() -> None:
    async with path_to(echo) as path:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            path.server = Address(path.server.ip, unused.getsockname()[1])
            refused = await path.tunnel.connect(str(path.server))
        assert not isinstance(refused, Stream)
        assert (refused.status, refused.unprocessed) == (503, False)
        assert path.tunnel.streams == 0
        assert path.tunnel.usable


async def test_cancelling_a_connect_takes_it_back() -> None:
    async with path_to(echo) as path:
        held: list[Request] = []
        told: list[str] = []

        def hold(request: Request) -> None:
            held.append(request)
            request.when_withdrawn(partial(told.append, "withdrawn"))

        path.inbound.tunnels[0]._on_request = hold
        with trio.move_on_after(0.05):
            await path.tunnel.connect(str(path.server))
        assert path.tunnel.streams == 0
        await until(lambda: path.inbound.tunnels[0].streams == 0)
        assert held[0].withdrawn
        assert told == ["withdrawn"]


async def test_the_end_of_its_tunnel_takes_a_connect_back() -> None:
    async with path_to(echo) as path, trio.open_nursery() as nursery:
        told = trio.Event()
        path.inbound.tunnels[0]._on_request = lambda request: request.when_withdrawn(told.set)
        nursery.start_soon(path.tunnel.connect, str(path.server))
        await until(lambda: path.inbound.tunnels[0].streams == 1)
        path.tunnel.abort()
        with trio.fail_after(10):
            await told.wait()


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_happens_to_connections_nothing_leaks(seed: int) -> None:
    """Streams, residents, and every byte of both connection windows are back when all connections have ended."""
    dice = random.Random(seed)

    async def one(path: Path, number: int) -> None:
        stream = await path.application()
        flow = path.flows[-1]
        fate = dice.choice(["echo", "reset", "close", "abort", "never read"])
        if fate == "echo":
            assert await exchange(stream, dice.randrange(1, 500_000), number)
        else:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(bytes(dice.randrange(1, 400_000)))
            if fate == "reset":
                with_reset(stream)
            elif fate == "abort":
                flow.abort()
        await stream.aclose()
        await flow.wait()

    async with path_to(echo) as path:
        for _ in range(4):
            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(one, path, number)
        ours, theirs = path.tunnel.connection, path.inbound.tunnels[0].connection
        await until(lambda: not ours.streams and not theirs.streams)
        assert path.relay.residents == {path.tunnel.wire, path.inbound.tunnels[0].wire}
        await until(lambda: ours._credit + theirs._owed == theirs.limits.connection_window)
        await until(lambda: theirs._credit + ours._owed == ours.limits.connection_window)
