"""Taking connections off a listener: within the budget, come what may."""

from __future__ import annotations

import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import trio
import trio.testing

from mesh.address import Address
from mesh.net.relay import Relay
from mesh.quota import Quota
from mesh.refusal import Reason, Refusal
from tests.tunnel_ends import running_relay, until
from ztunnel.worker.accept import Acceptor, Done
from ztunnel.worker.boundary import served


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


async def call(listener: socket.socket) -> trio.SocketStream:
    return await trio.open_tcp_stream(*listener.getsockname())


async def assert_turned_away(listener: socket.socket) -> None:
    """The reset may come while the caller still believes to be connecting."""
    with pytest.raises((OSError, trio.BrokenResourceError)):
        await (await call(listener)).receive_some(5)


Serve = Callable[[socket.socket, Address], Awaitable[None]]


class Hall:
    """Where a listener's connections are served, each in a task."""

    def __init__(self, relay: Relay, listener: socket.socket, nursery: trio.Nursery) -> None:
        self._relay = relay
        self._listener = listener
        self._nursery = nursery
        self.refusals: list[Refusal] = []

    def acceptor(self, budget: Quota, serve: Serve | None = None) -> Acceptor:
        def take(sock: socket.socket, source: Address, done: Done) -> None:
            self._nursery.start_soon(served, serve or say_hello, sock, source, done)

        def refuse(_sock: socket.socket, _source: Address, refusal: Refusal) -> None:
            self.refusals.append(refusal)

        return Acceptor(self._relay, self._listener, budget, take, refuse)


@pytest.fixture
async def hall(listener: socket.socket, nursery: trio.Nursery) -> AsyncIterator[Hall]:
    async with running_relay() as relay:
        yield Hall(relay, listener, nursery)


async def say_hello(sock: socket.socket, _source: Address) -> None:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    async with stream:
        await stream.send_all(b"hello")
        await stream.receive_some(1)


async def test_over_budget_is_refused_and_room_is_used_again(listener, hall, nursery):
    budget = Quota("connections", 2, 2)
    nursery.start_soon(hall.acceptor(budget).run)
    first, second = await call(listener), await call(listener)
    assert [await one.receive_some(5) for one in (first, second)] == [b"hello"] * 2
    await assert_turned_away(listener)
    assert [one.reason for one in hall.refusals] == [Reason.OVER_BUDGET]
    await first.aclose()
    await until(lambda: budget.used == 1)
    async with await call(listener) as fourth:
        assert await fourth.receive_some(5) == b"hello"
    await second.aclose()
    nursery.cancel_scope.cancel()


async def test_a_caller_that_wants_everything_leaves_room_for_others(listener, hall, nursery):
    budget = Quota("connections", 8)
    nursery.start_soon(hall.acceptor(budget).run)
    held = [await call(listener) for _ in range(4)]
    assert [await one.receive_some(5) for one in held] == [b"hello"] * 4
    for _ in range(3):
        await assert_turned_away(listener)
    assert {one.detail for one in hall.refusals} == {"4 connections of 127.0.0.1 are in progress: its share"}
    with socket.socket() as other:
        other.bind(("127.0.0.9", 0))
        other.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(other))
        await stream.socket.connect(listener.getsockname())
        assert await stream.receive_some(5) == b"hello"
    nursery.cancel_scope.cancel()


async def test_a_bug_with_one_connection_concerns_no_other(listener, hall, nursery):
    budget = Quota("connections", 10, 10)
    failed = trio.Event()

    async def serve(sock: socket.socket, source: Address) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a bug")
        await say_hello(sock, source)

    nursery.start_soon(hall.acceptor(budget, serve).run)
    await assert_turned_away(listener)
    async with await call(listener) as lucky:
        assert await lucky.receive_some(5) == b"hello"
    await until(lambda: budget.used == 0)
    nursery.cancel_scope.cancel()


async def test_what_is_accepted_never_blocks_and_is_tuned(listener, hall, nursery):
    found = []

    async def look(sock: socket.socket, source: Address) -> None:
        options = ((socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        found.extend([sock.getblocking(), *(bool(sock.getsockopt(*option)) for option in options)])
        await say_hello(sock, source)

    nursery.start_soon(hall.acceptor(Quota("connections", 10, 10), look).run)
    async with await call(listener) as stream:
        assert await stream.receive_some(5) == b"hello"
    assert found == [False, True, True]
    nursery.cancel_scope.cancel()


async def test_connections_outlive_the_accepting(listener, hall, nursery):
    budget = Quota("connections", 10, 10)
    accepting = trio.CancelScope()

    async def take() -> None:
        with accepting:
            await hall.acceptor(budget).run()

    nursery.start_soon(take)
    async with await call(listener) as stream:
        assert await stream.receive_some(5) == b"hello"
        accepting.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert budget.used == 1
    await until(lambda: budget.used == 0)


async def test_short_of_descriptors_it_waits_and_goes_on(listener, hall, nursery):
    """What cannot be accepted stays in the listener's queue until there is room for it."""
    budget = Quota("connections", 100, 100)
    stream = await call(listener)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = socket.socket()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used.fileno(), hard))
        nursery.start_soon(hall.acceptor(budget).run)
        await trio.sleep(0.3)
        assert budget.used == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        used.close()
    with trio.fail_after(5):
        assert await stream.receive_some(5) == b"hello"
    await stream.aclose()
    await until(lambda: budget.used == 0)
    nursery.cancel_scope.cancel()
