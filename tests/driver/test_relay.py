"""The hot loop and the tasks beside it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.tunnel_ends import running_relay, until


class PingPong:
    """Two ends of a joined connection that throw one message to and fro, as fast as they can."""

    def __init__(self, one: socket.socket, other: socket.socket) -> None:
        self.trips = 0
        self.over = False
        self._ends = one, other

    def play(self) -> None:
        one, other = self._ends
        while not self.over:
            one.sendall(b"ping")
            other.recv(4)
            other.sendall(b"pong")
            one.recv(4)
            self.trips += 1


@asynccontextmanager
async def played(one: socket.socket, other: socket.socket) -> AsyncIterator[PingPong]:
    """The game is on, in a thread."""
    game = PingPong(one, other)
    with one, other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, game.play)
            try:
                yield game
            finally:
                game.over = True


async def test_messages_that_chase_each_other_keep_no_task_from_its_work() -> None:
    async with running_relay() as relay:
        (one, left), (other, right) = socket.socketpair(), socket.socketpair()
        relay.join(left, right)
        async with played(one, other) as game:
            for _ in range(50):
                before = game.trips
                await trio.sleep(0.002)
                await until(lambda: game.trips > before)  # noqa: B023


async def test_a_task_woken_by_a_message_runs_while_others_chase_each_other() -> None:
    async with running_relay() as relay:
        (one, left), (other, right), (caller, near), (called, far) = (socket.socketpair() for _ in range(4))
        relay.join(left, right)
        brief = relay.join(near, far)
        async with played(one, other) as game:
            await until(lambda: game.trips > 10)
            called.close()
            caller.close()
            with trio.fail_after(10):
                assert (await brief.wait()).how in {"fin", "reset"}
