"""A tunnel's stream keeps trio's contract for streams."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import check_half_closeable_stream

from mesh.hbone.limits import CLIENT
from mesh.net.tls import ClientTls, ServerTls
from mesh.net.tunnel import Request, Stream, Tunnel
from mesh.net.tunnel_stream import TunnelStream
from tests.pki_for_tests import CART, WEB, credentials
from tests.tunnel_ends import listening, running_relay


@asynccontextmanager
async def tunnel_between() -> AsyncIterator[tuple[Tunnel, trio.MemoryReceiveChannel[Stream]]]:
    """A tunnel, and the streams that its server end has accepted."""
    send, receive = trio.open_memory_channel[Stream](100)

    def accept(request: Request) -> None:
        send.send_nowait(request.accept())

    async with running_relay() as relay:
        tls = ServerTls(credentials(CART))

        async def serve(sock: socket.socket) -> None:
            await Tunnel.serve(relay, sock, tls, accept)

        async with listening(serve) as address:
            yield await Tunnel.dial(relay, address, ClientTls(credentials(WEB)), frozenset([CART])), receive


async def two_ends(tunnel: Tunnel, accepted: trio.MemoryReceiveChannel[Stream]) -> tuple[TunnelStream, TunnelStream]:
    ours = await tunnel.connect("10.0.0.1:80")
    assert isinstance(ours, Stream)
    return ours.open(), (await accepted.receive()).open()


async def test_it_is_a_half_closeable_stream() -> None:
    async with tunnel_between() as (tunnel, accepted):

        async def make() -> tuple[TunnelStream, TunnelStream]:
            return await two_ends(tunnel, accepted)

        async def make_clogged() -> tuple[TunnelStream, TunnelStream]:
            left, right = await make()
            for one in (left, right):
                await one.send_all(bytes(CLIENT.stream_window))
            return left, right

        await check_half_closeable_stream(make, make_clogged)


async def test_a_reader_that_stops_stops_the_writer() -> None:
    """A stream's window is all that the other end ever holds for a reader."""
    async with tunnel_between() as (tunnel, accepted):
        ours, theirs = await two_ends(tunnel, accepted)
        await ours.send_all(bytes(CLIENT.stream_window))
        with trio.move_on_after(0.1) as patience:
            await ours.send_all(b"one byte more")
        assert patience.cancelled_caught
        received = 0
        while received < CLIENT.stream_window:
            received += len(await theirs.receive_some())
        await ours.send_all(b"on we go")
        assert await theirs.receive_some() == b"on we go"


async def test_a_reset_breaks_both_directions() -> None:
    async with tunnel_between() as (tunnel, accepted):
        ours = await tunnel.connect("10.0.0.1:80")
        assert isinstance(ours, Stream)
        theirs = (await accepted.receive()).open()
        ours.reset()
        with pytest.raises(trio.BrokenResourceError, match="CANCEL"):
            await theirs.receive_some()
        with pytest.raises(trio.BrokenResourceError, match="CANCEL"):
            await theirs.send_all(b"x")


async def test_what_was_sent_before_closing_arrives() -> None:
    async with tunnel_between() as (tunnel, accepted):
        ours, theirs = await two_ends(tunnel, accepted)
        await ours.send_all(bytes(100_000))
        await ours.aclose()
        received = 0
        while data := await theirs.receive_some(1_000):
            assert len(data) <= 1_000
            received += len(data)
        assert received == 100_000


async def test_many_small_writes_of_one_moment_leave_together() -> None:
    """What several tasks write before the relay's next turn is one record and one packet."""
    async with tunnel_between() as (tunnel, accepted):
        pairs = [await two_ends(tunnel, accepted) for _ in range(10)]
        sends = 0
        wire = tunnel.wire
        transmit = wire._send

        def counted(data: bytes) -> int:
            nonlocal sends
            sends += 1
            return transmit(data)

        wire._send = counted
        async with trio.open_nursery() as nursery:
            for ours, _ in pairs:
                nursery.start_soon(ours.send_all, b"small")
        for _, theirs in pairs:
            assert await theirs.receive_some() == b"small"
        assert sends <= 3
