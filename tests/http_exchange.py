"""One request and its response, as one end of a link sees them: events in order, both ways, with back-pressure."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from waypoint.http.events import CANCEL, Body, End, Event, Malformed, Reset, ResponseHead

if TYPE_CHECKING:
    from tests.http_link import Link


class ExchangeCut(Exception):
    """The exchange is over before its end; `reset` says how."""

    def __init__(self, reset: Reset) -> None:
        super().__init__(reset.detail)
        self.reset = reset


class Exchange:
    """Used in a `with` block, whose end gives the exchange up if it is not complete by then.

    One task may receive and one may send at a time.
    """

    def __init__(self, link: Link, stream: int) -> None:
        self._link = link
        self._stream = stream
        self._inbox: deque[Event] = deque()
        self._arrival = trio.lowlevel.ParkingLot()
        self._cut: Reset | None = None
        self._open = {"in", "out"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset(CANCEL)
        self._link.forget(self._stream, sum(event.cost for event in self._inbox if isinstance(event, Body)))
        self._inbox.clear()

    @property
    def waiting(self) -> bool:
        """Whether `receive` would give something at once."""
        return bool(self._inbox)

    async def receive(self) -> Event:
        """The next event from the peer. After `End` there is none, but that status 101 begins both ways again."""
        await trio.lowlevel.checkpoint()
        while not self._inbox:
            await self._arrival.park()
        event = self._inbox.popleft()
        if isinstance(event, Body):
            self._link.credit(self._stream, event.cost)
        return event

    async def send(self, event: Event) -> None:
        """Say something to the peer, when it has room for it. Raises ExchangeCut when it will not listen any more."""
        if isinstance(event, Body):
            await self._send_body(event.data)
            return
        await trio.lowlevel.checkpoint()
        if self._cut is not None:
            raise ExchangeCut(self._cut)
        self._link.say(self._stream, event)
        if isinstance(event, End):
            self._open.discard("out")
        elif isinstance(event, ResponseHead) and event.status == 101:
            self._open = {"in", "out"}

    async def wait_cut(self) -> Reset:
        """Wait until the peer resets the exchange or its connection breaks; for ever when it does not."""
        while self._cut is None:
            await self._arrival.park()
        return self._cut

    def reset(self, code: int) -> None:
        """Give the exchange up, unless it is complete."""
        if self._open and self._cut is None:
            self._cut = Reset(code, "given up here")
            self._link.say(self._stream, self._cut)
            self._arrival.unpark_all()

    def arrived(self, event: Event) -> None:
        """Take an event in (the link calls this)."""
        if isinstance(event, Reset | Malformed):
            self._open.discard("in")
        if isinstance(event, Reset):
            self._cut = self._cut or event
        elif isinstance(event, End):
            self._open.discard("in")
        elif isinstance(event, ResponseHead) and event.status == 101:
            self._open = {"in", "out"}
        self._inbox.append(event)
        self._arrival.unpark_all()

    def lost(self, detail: str) -> None:
        """The connection is gone (the link calls this)."""
        if "in" in self._open:
            self.arrived(Reset(CANCEL, detail))
        elif self._open:
            self._cut = self._cut or Reset(CANCEL, detail)
            self._arrival.unpark_all()

    async def _send_body(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            room = 0
            while not room:
                if self._cut is not None:
                    raise ExchangeCut(self._cut)
                room = await self._link.room(self._stream)
            self._link.say(self._stream, Body(bytes(rest[:room])))
            rest = rest[room:]


async def send_whole(exchange: Exchange, head: ResponseHead, body: bytes) -> None:
    """A response that is known in full."""
    await exchange.send(head)
    if body:
        await exchange.send(Body(body))
    await exchange.send(End())
