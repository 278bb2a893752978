"""The worker's connection to the node's supervisor: made again and again for as long as the worker lives.

Nothing here waits for the supervisor. Messages go out when they can; reports wait in a bounded queue, and what does
not fit is counted instead.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

import trio

from ztunnel.channel.frames import LARGEST_DOWN, ChannelError, Frames, frame
from ztunnel.channel.message import (
    Ask,
    Forget,
    FromSupervisor,
    Hold,
    Report,
    Resolve,
    Sign,
    from_supervisor,
    to_supervisor,
)
from ztunnel.channel.naming import Naming
from ztunnel.channel.sighting import Sighting

_log = logging.getLogger("worker")

_REPORTS: Final = 1024
_NAMES: Final = 1024
"""Questions that may wait for a supervisor that does not read; one for a name is not worth more."""
_TOGETHER: Final = 64
"""Reports that go out in one piece: each piece wakes the supervisor, which costs both more than the report itself."""
_GATHER_SECONDS: Final = 0.05
"""How long the first of them waits for more."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_CHUNK: Final = 64 * 1024

Connect = Callable[[], Awaitable[trio.abc.HalfCloseableStream]]


class Link:
    """Sends questions and reports; hands what comes back to `receive`, in order."""

    def __init__(self, connect: Connect, receive: Callable[[FromSupervisor], None]) -> None:
        self._connect = connect
        self._receive = receive
        self._questions: deque[Ask | Forget | Sign | Hold | Resolve | Naming] = deque()
        self._reports: deque[Sighting] = deque()
        self._dropped = 0
        self._pause = _FIRST_PAUSE
        self._wake = trio.Event()
        self._hurry = trio.Event()
        self._idle = trio.Event()
        self.connected = False
        self.greeting: Callable[[], Ask] = Ask
        """What every new connection begins with: all that the worker wants to know."""
        self.begun: Callable[[], None] = _nothing
        """Called when a connection begins; what was asked on the one before it must be asked again."""

    def send(self, message: Ask | Forget | Sign | Hold | Resolve | Naming) -> bool:
        """Send a question; False if there is no connection, and it is not kept: a new one begins with the greeting."""
        if isinstance(message, Resolve | Naming) and len(self._questions) >= _NAMES:
            return False
        if self.connected:
            self._questions.append(message)
            self._wake.set()
            self._hurry.set()
        return self.connected

    def report(self, sighting: Sighting) -> None:
        """Tell what happened, as soon as may be."""
        if len(self._reports) >= _REPORTS:
            self._dropped += 1
            return
        self._reports.append(sighting)
        if len(self._reports) == 1:
            self._wake.set()
        elif len(self._reports) == _TOGETHER:
            self._hurry.set()

    async def flushed(self) -> None:
        """Wait until everything is told."""
        while self._reports:
            self._idle = trio.Event()
            self._hurry.set()
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
            self._wake, self._hurry = trio.Event(), trio.Event()
            while self._questions:
                await stream.send_all(frame(to_supervisor(self._questions.popleft())))
            if len(self._reports) >= _TOGETHER:
                await self._tell(stream)
            elif self._reports:
                with trio.move_on_after(_GATHER_SECONDS):
                    await self._hurry.wait()
                if not self._questions:
                    await self._tell(stream)
            else:
                self._idle.set()
                await self._wake.wait()

    async def _tell(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Send the oldest reports; they are kept until sent, for whoever comes after a supervisor that breaks off."""
        told, dropped = list(islice(self._reports, _TOGETHER)), self._dropped
        frames = [frame(to_supervisor(Report(one, 0 if at else dropped))) for at, one in enumerate(told)]
        await stream.send_all(b"".join(frames))
        for _ in told:
            self._reports.popleft()
        self._dropped -= dropped


def _nothing() -> None:
    return
