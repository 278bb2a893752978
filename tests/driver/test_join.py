"""Plain sockets joined in the relay."""

from __future__ import annotations

import socket
import struct

import pytest
import trio

from mesh.net.flow import Flow
from mesh.net.relay import Relay
from tests.tunnel_ends import echo, exchange, running_relay

MIB = 1024 * 1024


def tcp_pair() -> tuple[trio.SocketStream, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(one)), other


def joined(relay: Relay) -> tuple[trio.SocketStream, trio.SocketStream, Flow]:
    left, left_inside = tcp_pair()
    right, right_inside = tcp_pair()
    return left, right, relay.join(left_inside, right_inside)


async def test_every_byte_comes_back_and_both_ends_close() -> None:
    async with running_relay() as relay, trio.open_nursery() as nursery:
        left, right, flow = joined(relay)
        nursery.start_soon(echo, right.socket._sock)  # type: ignore[attr-defined]
        assert await exchange(left, 5 * MIB, seed=1)
        assert (await flow.wait()).how == "fin"
        assert flow.sent == flow.received == 5 * MIB
        assert flow.first_byte is not None


async def test_half_close_is_passed_on_behind_the_data() -> None:
    async with running_relay() as relay:
        left, right, flow = joined(relay)
        await left.send_all(b"question")
        await left.send_eof()
        assert await right.receive_some() == b"question"
        assert await right.receive_some() == b""
        await right.send_all(b"answer")
        await right.aclose()
        assert await left.receive_some() == b"answer"
        assert await left.receive_some() == b""
        assert (await flow.wait()).how == "fin"


async def test_a_reset_is_passed_on() -> None:
    async with running_relay() as relay:
        left, right, flow = joined(relay)
        left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left.socket.close()
        with pytest.raises(trio.BrokenResourceError):
            await right.receive_some()
        assert (await flow.wait()).how == "reset"


async def test_a_side_that_does_not_read_stops_the_other() -> None:
    async with running_relay() as relay:
        left, right, flow = joined(relay)
        sent = 0
        with trio.move_on_after(0.3):
            while True:
                await left.send_all(bytes(65_536))
                sent += 65_536
        received = 0
        while received < sent:
            received += len(await right.receive_some())
        assert flow.ending is None
        await right.send_all(b"the other way is free")
        assert await left.receive_some() == b"the other way is free"


async def test_an_abort_resets_both() -> None:
    async with running_relay() as relay:
        left, right, flow = joined(relay)
        flow.abort()
        for stream in (left, right):
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        assert (await flow.wait()).how == "aborted"


async def test_the_relays_end_is_the_end_of_all_in_it() -> None:
    async with running_relay() as relay:
        left, right, flow = joined(relay)
    for stream in (left, right):
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert flow.ending is not None
    assert not relay.residents
