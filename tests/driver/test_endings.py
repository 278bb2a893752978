"""Resets that come when a side is not being read: it has ended its half already, or nobody takes its bytes now."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from mesh.net.flow import Flow
from mesh.net.relay import Relay
from mesh.net.tls import ClientTls
from mesh.net.tunnel import Stream, Tunnel
from tests.pki_for_tests import CART, WEB, credentials
from tests.tunnel_ends import Inbound, listening, running_relay, until

MIB = 1024 * 1024


def tcp_pair() -> tuple[trio.SocketStream, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(one)), other


@dataclass
class Ends:
    """A connection through the relay, as its caller and its callee hold it."""

    caller: trio.SocketStream
    callee: trio.SocketStream
    flow: Flow


@asynccontextmanager
async def plain(relay: Relay) -> AsyncIterator[Ends]:
    (caller, near), (callee, far) = tcp_pair(), tcp_pair()
    yield Ends(caller, callee, relay.join(near, far))


@asynccontextmanager
async def tunnelled(relay: Relay) -> AsyncIterator[Ends]:
    accepted: list[socket.socket] = []

    async def keep(sock: socket.socket) -> None:
        accepted.append(sock)

    inbound = Inbound(relay, credentials(CART))
    async with listening(keep) as server, listening(inbound.serve) as address:
        tunnel = await Tunnel.dial(relay, address, ClientTls(credentials(WEB)), frozenset([CART]))
        stream = await tunnel.connect(str(server))
        assert isinstance(stream, Stream)
        await until(lambda: bool(accepted))
        caller, near = tcp_pair()
        yield Ends(caller, trio.SocketStream(trio.socket.from_stdlib_socket(accepted[0])), stream.splice(near))


@pytest.fixture(params=[plain, tunnelled])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    async with running_relay() as relay, request.param(relay) as made:
        yield made


both = pytest.mark.parametrize(
    "turn", [lambda e: (e.caller, e.callee), lambda e: (e.callee, e.caller)], ids=["up", "down"]
)
Turn = Callable[[Ends], tuple[trio.SocketStream, trio.SocketStream]]


def reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def sees_reset(stream: trio.SocketStream) -> None:
    """Also where the end of the other half stands before it, and only the kernel's own word tells of it."""
    await until(lambda: stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0)


async def fill(stream: trio.SocketStream) -> None:
    """Send until nobody takes any more."""
    while True:
        with trio.move_on_after(0.5) as patience:
            await stream.wait_send_all_might_not_block()
            await stream.socket.send(bytes(256 * 1024))
        if patience.cancelled_caught:
            return


@both
async def test_each_half_ends_by_itself_and_the_other_goes_on(ends: Ends, turn: Turn) -> None:
    one, other = turn(ends)
    await one.send_eof()
    assert await other.receive_some() == b""
    for _ in range(3):
        await other.send_all(b"still here")
        assert await one.receive_some() == b"still here"
    await other.aclose()
    assert await one.receive_some() == b""
    assert (await ends.flow.wait()).how == "fin"


@both
async def test_a_reset_behind_the_end_of_its_half_is_passed_on(ends: Ends, turn: Turn) -> None:
    one, other = turn(ends)
    await one.send_eof()
    assert await other.receive_some() == b""
    reset(one)
    with trio.fail_after(10):
        assert (await ends.flow.wait()).how == "reset"
    await sees_reset(other)


@both
async def test_a_reset_behind_the_end_of_the_other_half_is_passed_on(ends: Ends, turn: Turn) -> None:
    one, other = turn(ends)
    await other.send_eof()
    assert await one.receive_some() == b""
    reset(one)
    await sees_reset(other)
    assert (await ends.flow.wait()).how == "reset"


@both
async def test_a_reset_of_one_whose_bytes_nobody_takes_is_passed_on(ends: Ends, turn: Turn) -> None:
    one, other = turn(ends)
    await fill(one)
    reset(one)
    with trio.fail_after(10):
        assert (await ends.flow.wait()).how == "reset"
    await sees_reset(other)


@both
async def test_one_that_reads_nothing_and_resets_is_noticed_by_its_sender(ends: Ends, turn: Turn) -> None:
    one, other = turn(ends)
    await fill(other)
    reset(one)
    await sees_reset(other)
    assert (await ends.flow.wait()).how == "reset"


@both
async def test_an_end_behind_bytes_that_nobody_takes_costs_nothing_and_arrives(
    ends: Ends, turn: Turn, relay_work: Callable[[], int]
) -> None:
    """Both halves have ended, and the bytes before one of the ends wait for their reader: that is no busy loop."""
    one, other = turn(ends)
    await other.send_eof()
    assert await one.receive_some() == b""
    await fill(one)
    await one.send_eof()
    before = relay_work()
    await trio.sleep(0.2)
    assert relay_work() - before < 20
    with trio.fail_after(20):
        while await other.receive_some(MIB):
            pass
        assert (await ends.flow.wait()).how == "fin"


@pytest.fixture
def relay_work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many turns relays have made."""
    turns = 0
    turn = Relay._turn

    def counted(self: Relay, patience: float) -> bool:
        nonlocal turns
        turns += 1
        return turn(self, patience)

    monkeypatch.setattr(Relay, "_turn", counted)
    return lambda: turns
