"""Asks the zygote for workers. Requests wait while there is no zygote: the next one is on its way."""

from __future__ import annotations

import socket
from array import array
from collections.abc import Sequence
from typing import Final

import trio

from ztunnel import fork
from ztunnel.keeper.part import keep_running
from ztunnel.keeper.worker import Worker

_DEADLINE: Final = 5.0
"""Seconds in which a zygote forks; one that takes longer is given up."""


class ForkRefused(Exception):
    """No worker could be forked; the text says why."""


class Forks:
    """The keeper's line to the zygote."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._channel: trio.socket.SocketType | None = None
        self._there = trio.Condition()

    async def run(self) -> None:
        """Keep a zygote running, for ever."""
        await keep_running(self._command, socket.SOCK_SEQPACKET, self._offer)

    async def fork(self, order: fork.Order, namespace: int, listeners: Sequence[int]) -> Worker:
        """A new worker; it waits to be told to begin, and says itself when it is ready. Raises ForkRefused.

        Not cancelled half-way: a worker that nobody knows of would serve for ever.
        """
        async with self._there:
            while self._channel is None:
                await self._there.wait()
            ours, theirs = socket.socketpair()
            with ours, theirs:
                with trio.CancelScope(shield=True):
                    descriptors = (namespace, *listeners, theirs.fileno())
                    pid = await self._ask(self._channel, fork.encode(order), descriptors)
                return Worker(pid, ours.detach())

    async def _ask(self, channel: trio.socket.SocketType, packet: bytes, descriptors: Sequence[int]) -> int:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors).tobytes())
        try:
            with trio.fail_after(_DEADLINE):
                await channel.sendmsg([packet], [rights])
                answer = fork.parse_answer(await channel.recv(fork.LARGEST_PACKET))
        except (OSError, fork.ForkError, trio.TooSlowError) as error:
            self._channel = None
            channel.close()
            raise ForkRefused(f"the zygote does not answer: {error or type(error).__name__}") from error
        if isinstance(answer, fork.NotForked):
            raise ForkRefused(answer.why)
        return answer.pid

    async def _offer(self, channel: trio.socket.SocketType) -> None:
        async with self._there:
            self._channel = channel
            self._there.notify_all()
        try:
            await trio.sleep_forever()
        finally:
            if self._channel is channel:
                self._channel = None
