"""A tunnel's stream as a trio stream, for code that wants the bytes itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING

import trio

from mesh.hbone.frames import ErrorCode, code_name

if TYPE_CHECKING:
    from mesh.hbone.stream import StreamState
    from mesh.net.wire import Wire


class TunnelStream(trio.abc.HalfCloseableStream):
    """Bytes are copied once each way. The peer gets credit for what was received here, so unread data is bounded."""

    def __init__(self, wire: Wire, state: StreamState) -> None:
        self._wire = wire
        self._state = state
        self._arrived = bytearray()
        self._arrival = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._busy_sending = False
        self._busy_receiving = False
        self._closed = False
        state.attach(self)

    # ---- trio.abc.HalfCloseableStream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Put all of `data` into the tunnel's outbox, as the peer's windows and the outbox allow."""
        with self._sending():
            await trio.lowlevel.checkpoint()
            rest = memoryview(data).cast("B")
            while rest:
                hole = await self._hole(len(rest))
                count = len(hole)
                hole[:] = rest[:count]
                rest = rest[count:]
                self._wire.connection.fill(self._state, count)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is credit and room."""
        with self._sending():
            await trio.lowlevel.checkpoint()
            await self._hole(1)

    async def send_eof(self) -> None:
        """Send END_STREAM; receiving goes on."""
        if self._state.local_ended and not self._closed:
            await trio.lowlevel.checkpoint()
            return
        with self._sending():
            self._state.end()
            await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has arrived, at most `max_bytes`; b"" after the peer's orderly end."""
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be positive")
        if self._busy_receiving:
            raise trio.BusyResourceError("another task is receiving")
        self._busy_receiving = True
        try:
            self._check_open()
            await trio.lowlevel.checkpoint()
            while not self._arrived:
                self._check_open()
                if self._state.remote_ended:
                    return b""
                if self._state.reset_code is not None:
                    raise trio.BrokenResourceError(self._cause())
                await self._arrival.park()
            self._check_open()
            return self._take(max_bytes)
        finally:
            self._busy_receiving = False

    async def aclose(self) -> None:
        """End our half in order; what the peer sends from now on is refused."""
        if not self._closed:
            self._closed = True
            self._arrived.clear()
            self._state.end()
            self._state.reset(ErrorCode.NO_ERROR)
            self._wake()
        await trio.lowlevel.checkpoint()

    # ---- mesh.hbone.stream.Sink

    def data(self, view: memoryview) -> None:
        """Keep it for the reader."""
        self._arrived += view
        self._arrival.unpark_all()

    def ended(self) -> None:
        """The reader finds that out."""
        self._arrival.unpark_all()

    def was_reset(self, code: int) -> None:  # noqa: ARG002  the state keeps it
        """Reader and writer find that out."""
        self._wake()

    def may_send(self) -> None:
        """The writer tries again."""
        self._room.unpark_all()

    # ----

    async def _hole(self, size: int) -> memoryview:
        connection = self._wire.connection
        while True:
            if connection.space < size:
                self._wire.flush()
            self._check_sendable()
            hole = connection.hole(self._state, size)
            if hole is not None:
                return hole
            await self._room.park()

    def _take(self, at_most: int | None) -> bytes:
        if at_most is None or at_most >= len(self._arrived):
            taken, self._arrived = bytes(self._arrived), bytearray()
        else:
            taken = bytes(self._arrived[:at_most])
            del self._arrived[:at_most]
        self._state.took(len(taken))
        return taken

    @contextmanager
    def _sending(self) -> Iterator[None]:
        if self._busy_sending:
            raise trio.BusyResourceError("another task is sending")
        self._check_sendable()
        self._busy_sending = True
        try:
            yield
        finally:
            self._busy_sending = False

    def _check_sendable(self) -> None:
        self._check_open()
        if self._state.reset_code is not None:
            raise trio.BrokenResourceError(self._cause())
        if self._state.local_ended:
            raise trio.ClosedResourceError("send_eof was called before")

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")

    def _cause(self) -> str:
        violation = self._wire.connection.violation
        code = self._state.reset_code
        return str(violation) if violation is not None else f"the peer reset the stream: {code_name(code or 0)}"

    def _wake(self) -> None:
        self._arrival.unpark_all()
        self._room.unpark_all()
