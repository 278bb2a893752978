"""A codec on a byte stream: one task reads, one writes, and every exchange has a bounded inbox.

Only the reader reads and only the writer writes. Who wants to say something hands it to the codec and goes on; a body
waits until the codec has room for it and until little enough waits to be written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import trio

from tests.http_exchange import Exchange
from waypoint.http.codec import Codec
from waypoint.http.events import Body, Event, Malformed, RequestHead

_READ: Final = 256 * 1024
_BACKLOG: Final = 256 * 1024
"""Bytes that may wait to be written before bodies have to wait."""
_CONTROL_BACKLOG: Final = 1024 * 1024
"""The same before reading stops: a peer that provokes answers and does not read them gets no more of them."""
_STEP: Final = 64 * 1024
_LINGER_SECONDS: Final = 2.0
"""How long a peer may take to notice that the conversation is over, so that it reads our last words (RFC 9112, 9.6)."""

Accept = Callable[[Exchange], None]


class Link:
    """One HTTP connection, either end. `run` has to be running for anything to move."""

    def __init__(
        self,
        transport: trio.abc.HalfCloseableStream,
        codec: Codec,
        cut: Callable[[], None],
        *,
        idle_seconds: float = math.inf,
    ) -> None:
        """`cut` ends the transport so that the peer sees it was cut. An idle link ends itself in order."""
        self._transport = transport
        self._codec = codec
        self._cut = cut
        self._idle_seconds = idle_seconds
        self._accept: Accept | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._out = bytearray()
        self._in_flight = 0
        self._wake = trio.lowlevel.ParkingLot()
        self._rooms = trio.lowlevel.ParkingLot()
        self._hunger = trio.lowlevel.ParkingLot()
        self._eof = trio.Event()
        self._over = False
        self._patience = trio.CancelScope()

    @property
    def usable(self) -> bool:
        """Whether a request can ever begin here again."""
        return self._codec.usable and not self._over

    @property
    def busy(self) -> int:
        """How many exchanges are in progress."""
        return len(self._exchanges)

    @property
    def fault(self) -> str:
        """What the peer did against the protocol, for which the connection ended; else empty."""
        return self._codec.fault

    async def run(self, accept: Accept | None = None) -> None:
        """Serve the connection until it ends, well or badly; `accept` gets every exchange that the peer begins."""
        self._accept = accept
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                nursery.start_soon(self._read, nursery.cancel_scope)
        finally:
            self._over = True
            for exchange in list(self._exchanges.values()):
                exchange.lost("the connection is closed")
            self._rooms.unpark_all()
            await trio.aclose_forcefully(self._transport)

    def begin(self, request: RequestHead) -> Exchange | None:
        """Ask (client side), or None when this connection can take no request now."""
        stream = self._codec.begin(request) if self.usable else None
        if stream is None:
            return None
        exchange = self._exchanges[stream] = Exchange(self, stream)
        self._pull()
        return exchange

    def drain(self) -> None:
        """Take no new exchange; end when those in progress have ended."""
        self._codec.drain()
        self._pull()

    # ---- what exchanges need

    def say(self, stream: int, event: Event) -> None:
        """Pass an event to the codec."""
        self._codec.send(stream, event)
        self._pull()
        self._dispatch(self._codec.resume())

    async def room(self, stream: int) -> int:
        """How much of a body may be said now; after a wait, when it was nothing. 0 when the link may have ended."""
        await trio.lowlevel.checkpoint()
        room = self._room(stream)
        if not room:
            await self._rooms.park()
            room = self._room(stream)
        return room

    def credit(self, stream: int, cost: int) -> None:
        """A body was taken out of an inbox."""
        self._codec.credit(stream, cost)
        self._pull()
        self._hunger.unpark_all()

    def forget(self, stream: int, cost: int) -> None:
        """An exchange was closed; `cost` is that of the bodies that nobody took out."""
        self._exchanges.pop(stream, None)
        self.credit(stream, cost)
        self._wait_for_exchanges()

    # ----

    def _room(self, stream: int) -> int:
        waiting = len(self._out) + self._in_flight
        return 0 if waiting >= _BACKLOG or self._over else min(_STEP, self._codec.room(stream))

    def _pull(self) -> None:
        """Collect what the codec wants sent, and have it sent."""
        self._out += self._codec.take()
        self._wake.unpark()

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            while self._out or not (self._codec.over or self._codec.aborted):
                if not self._out:
                    await self._wake.park()
                    continue
                data, self._out = self._out, bytearray()
                self._in_flight = len(data)
                await self._transport.send_all(data)
                self._in_flight = 0
                self._rooms.unpark_all()
                self._hunger.unpark_all()
            if self._codec.aborted:
                self._cut()
            else:
                await self._transport.send_eof()
                await self._linger()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as fault:
            self._break(fault)
        scope.cancel()

    async def _linger(self) -> None:
        while self._exchanges and not self._eof.is_set():
            await self._wake.park()
        with trio.move_on_after(_LINGER_SECONDS):
            await self._eof.wait()

    async def _read(self, scope: trio.CancelScope) -> None:
        try:
            while True:
                while not (self._codec.hungry and len(self._out) < _CONTROL_BACKLOG):
                    await self._hunger.park()
                data = await self._receive()
                if data is None:
                    continue
                self._dispatch(self._codec.receive(data))
                self._pull()
                self._rooms.unpark_all()
                if not data:
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as fault:
            self._break(fault)
            scope.cancel()
        self._eof.set()
        self._wake.unpark()

    async def _receive(self) -> bytes | None:
        """What the peer sent; None when it was idle for too long, whereupon the link drains."""
        self._patience = trio.CancelScope()
        self._wait_for_exchanges()
        with self._patience:
            return bytes(await self._transport.receive_some(_READ))
        self._idle_seconds = math.inf
        self.drain()
        return None

    def _wait_for_exchanges(self) -> None:
        """Set until when the peer may be silent: for ever while an exchange is in progress."""
        self._patience.deadline = math.inf if self._exchanges else trio.current_time() + self._idle_seconds
        self._wake.unpark()

    def _dispatch(self, events: list[tuple[int, Event]]) -> None:
        for stream, event in events:
            exchange = self._exchanges.get(stream)
            if exchange is not None:
                exchange.arrived(event)
            elif isinstance(event, RequestHead | Malformed) and self._accept is not None:
                exchange = self._exchanges[stream] = Exchange(self, stream)
                exchange.arrived(event)
                self._patience.deadline = math.inf
                self._accept(exchange)
            elif isinstance(event, Body):
                self._codec.credit(stream, event.cost)

    def _break(self, fault: Exception) -> None:
        for exchange in list(self._exchanges.values()):
            exchange.lost(f"the connection broke: {fault}")
