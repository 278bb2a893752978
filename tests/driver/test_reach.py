"""Connecting from within the relay: made, refused, too slow, given up with the relay."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import trio

from mesh.address import IP, Address
from mesh.net.deadlines import Deadlines
from mesh.net.reach import reach
from mesh.net.relay import Relay
from mesh.refusal import Reason, Refusal
from tests.tunnel_ends import echo, listening, running_relay


@dataclass
class Reached:
    relay: Relay
    deadlines: Deadlines

    async def __call__(
        self, address: Address, *, timeout: float = 5, bind: IP | None = None
    ) -> socket.socket | Refusal:
        got: list[socket.socket | Refusal] = []
        told = trio.Event()

        def tell(found: socket.socket | Refusal) -> None:
            got.append(found)
            told.set()

        reach(self.relay, address, tell, deadlines=self.deadlines, timeout=timeout, bind=bind)
        with trio.fail_after(10):
            await told.wait()
        assert len(got) == 1
        return got[0]


@asynccontextmanager
async def reaching() -> AsyncIterator[Reached]:
    async with running_relay() as relay, trio.open_nursery() as nursery:
        deadlines = Deadlines()
        nursery.start_soon(deadlines.run)
        yield Reached(relay, deadlines)
        nursery.cancel_scope.cancel()


async def test_the_socket_is_connected_from_the_address_of_choice() -> None:
    async with reaching() as reached, listening(echo) as address:
        sock = await reached(address, bind=ip_address("127.0.0.77"))
        assert isinstance(sock, socket.socket)
        with sock:
            assert not sock.getblocking()
            assert sock.getsockname()[0] == "127.0.0.77"
            assert sock.getpeername() == (str(address.ip), address.port)


async def test_nobody_listens_there() -> None:
    async with reaching() as reached:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            refusal = await reached(Address(ip_address("127.0.0.1"), unused.getsockname()[1]))
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.CONNECT_FAILED


async def test_an_address_of_others_cannot_be_called_from() -> None:
    async with reaching() as reached, listening(echo) as address:
        refusal = await reached(address, bind=ip_address("192.0.2.1"))
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.CONNECT_FAILED


@contextmanager
def silent() -> Iterator[Address]:
    """A listener whose queue is full drops what asks to come in."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            yield Address(ip_address("127.0.0.1"), full.getsockname()[1])


async def test_who_does_not_answer_is_given_up_in_time_and_the_relay_forgets_the_attempt() -> None:
    async with reaching() as reached:
        with silent() as address:
            refusal = await reached(address, timeout=0.2)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.CONNECT_TIMEOUT
        assert not reached.relay.residents


async def test_an_attempt_that_is_given_up_tells_nobody_and_leaves_nothing() -> None:
    async with reaching() as reached:
        told: list[socket.socket | Refusal] = []
        with silent() as address:
            trying = reach(reached.relay, address, told.append, deadlines=reached.deadlines, timeout=0.2)
            assert trying is not None
            assert reached.relay.residents == {trying}
            trying.abort()
            assert not reached.relay.residents
            later = trio.Event()
            reached.deadlines.after(0.4, later.set)
            with trio.fail_after(10):
                await later.wait()
        assert not told
