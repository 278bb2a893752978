"""The worker's connection to the node's supervisor: made again and again for as long as the worker lives.

Nothing here waits for the supervisor. Messages go out when they can; reports wait in a bounded queue, and what does
not fit is counted instead.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ztunnel.channel.frames import LARGEST_DOWN, ChannelError, Frames, frame
from ztunnel.channel.message import Ask, Forget, FromSupervisor, Report, Sign, from_supervisor, to_supervisor
from ztunnel.channel.sighting import Sighting

_log = logging.getLogger("worker")

_REPORTS: Final = 1024
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_CHUNK: Final = 64 * 1024

Connect = Callable[[], Awaitable[trio.abc.HalfCloseableStream]]


class Link:
    """Sends questions and reports; hands what comes back to `receive`, in order."""

    def __init__(self, connect: Connect, receive: Callable[[FromSupervisor], None]) -> None:
        self._connect = connect
        self._receive = receive
        self._questions: deque[Ask | Forget | Sign] = deque()
        self._reports: deque[Sighting] = deque()
        self._dropped = 0
        self._pause = _FIRST_PAUSE
        self._wake = trio.Event()
        self._idle = trio.Event()
        self.connected = False
        self.greeting: Callable[[], Ask] = Ask
        """What every new connection begins with: all that the worker wants to know."""
        self.begun: Callable[[], None] = _nothing
        """Called when a connection begins; what was asked on the one before it must be asked again."""

    def send(self, message: Ask | Forget | Sign) -> bool:
        """Send a question; False if there is no connection, and it is not kept: a new one begins with the greeting."""
        if self.connected:
            self._questions.append(message)
            self._wake.set()
        return self.connected

    def report(self, sighting: Sighting) -> None:
        """Tell what happened, as soon as may be."""
        if len(self._reports) >= _REPORTS:
            self._dropped += 1
            return
        self._reports.append(sighting)
        self._wake.set()

    async def flushed(self) -> None:
        """Wait until everything is told."""
        while self._reports:
            self._idle = trio.Event()
            await self._idle.wait()

    async def run(self) -> None:
        """Stay connected until cancelled. Without a supervisor a worker goes on; so nothing ends this but the end."""
        while True:
            try:
                stream = await self._connect()
            except OSError:
                await self._rest()
                continue
            try:
                await self._converse(stream)
            except* (OSError, trio.BrokenResourceError):
                _log.info("the supervisor has gone")
            except* ChannelError as faults:
                _log.error("the supervisor is not understood: %s", faults.exceptions[0])
            except* Exception:  # noqa: BLE001 - the boundary: the pod is served without a supervisor, too
                _log.exception("the conversation with the supervisor ended by a fault of ours")
            finally:
                self.connected = False
                self._questions.clear()
                await trio.aclose_forcefully(stream)
            await self._rest()

    async def _rest(self) -> None:
        await trio.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    async def _converse(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Talk until the other side ends it."""
        self.connected = True
        self._questions.append(self.greeting())
        self._wake.set()
        self.begun()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, stream)
            frames = Frames(LARGEST_DOWN)
            while data := await stream.receive_some(_CHUNK):
                for document in frames.receive(data):
                    self._pause = _FIRST_PAUSE
                    self._receive(from_supervisor(document))
            nursery.cancel_scope.cancel()

    async def _speak(self, stream: trio.abc.HalfCloseableStream) -> None:
        while True:
            while self._questions or self._reports:
                if self._questions:
                    await stream.send_all(frame(to_supervisor(self._questions.popleft())))
                else:
                    await self._tell(stream)
            self._idle.set()
            self._wake = trio.Event()
            await self._wake.wait()

    async def _tell(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Send the oldest report; it is kept until it is sent, for whoever comes after a supervisor that breaks off."""
        dropped = self._dropped
        await stream.send_all(frame(to_supervisor(Report(self._reports[0], dropped))))
        self._reports.popleft()
        self._dropped -= dropped


def _nothing() -> None:
    return
