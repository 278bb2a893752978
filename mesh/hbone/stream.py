"""One CONNECT stream as one end of the connection accounts for it: windows, and which halves have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from mesh.hbone import frames
from mesh.hbone.frames import ErrorCode
from mesh.hbone.literals import Field

if TYPE_CHECKING:
    from mesh.hbone.exchanges import Exchanges


class Sink(Protocol):
    """What stands at the near end of a stream. Called in the order of what happened, never after `was_reset`."""

    def data(self, view: memoryview) -> None:
        """Take all of `view`, which is valid during the call only; tell `StreamState.took` when it has moved on."""

    def ended(self) -> None:
        """The peer has sent its last byte."""

    def was_reset(self, code: int) -> None:
        """The stream is gone, by the peer or with its connection; nothing more can be sent."""

    def may_send(self) -> None:
        """`Connection.hole` said no before; asking again is worth it now."""


class StreamState:
    """A stream between its HEADERS and its end. Made by Connection; data arriving before `attach` is kept."""

    __slots__ = (
        "_early",
        "_owed",
        "_unpaid",
        "answered",
        "connection",
        "credit",
        "id",
        "local_ended",
        "on_withdrawn",
        "remote_ended",
        "reset_code",
        "room",
        "sink",
    )

    def __init__(self, connection: Exchanges, stream_id: int, credit: int, room: int) -> None:
        self.connection = connection
        self.id = stream_id
        self.credit = credit
        """Bytes that the peer lets us send; a smaller SETTINGS may make it negative (RFC 9113, section 6.9.2)."""
        self.room = room
        """Bytes that we let the peer send."""
        self.sink: Sink | None = None
        self.on_withdrawn: Callable[[], None] | None = None
        """Called when the stream is lost before it has a sink."""
        self.answered = False
        self.local_ended = False
        self.remote_ended = False
        self.reset_code: int | None = None
        self._early = bytearray()
        self._owed = 0
        self._unpaid = 0

    @property
    def closed(self) -> bool:
        """Whether nothing more can pass either way."""
        return self.reset_code is not None or (self.local_ended and self.remote_ended)

    def attach(self, sink: Sink) -> None:
        """Name the near end; what came before is told to it at once."""
        self.sink = sink
        early, self._early = self._early, bytearray()
        if early:
            sink.data(memoryview(early))
        if self.remote_ended:
            sink.ended()
        if self.reset_code is not None:
            sink.was_reset(self.reset_code)

    def answer(self, status: int, headers: Iterable[Field], *, end: bool = False) -> None:
        """Server: send the response head; `end` ends our half with it."""
        if not self.answered and not self.closed:
            self.answered = True
            self.connection.put_answer(self, status, headers, end=end)
            if end:
                self._end_local()

    def end(self) -> None:
        """Send END_STREAM behind everything sent so far; the peer may go on sending."""
        if not self.local_ended and self.reset_code is None:
            self.connection.put(frames.frame(frames.DATA, frames.END_STREAM, self.id))
            self._end_local()

    def reset(self, code: int = ErrorCode.CANCEL) -> None:
        """Give the stream up, both ways, at once. The sink is not told: it is the one who asks."""
        if self.closed:
            self.connection.took(self.forgo())
        else:
            self.reset_code = code
            self.connection.put_reset(self, code)

    def took(self, count: int) -> None:
        """The near end has passed on `count` bytes: let the peer send as many again, in large steps."""
        if self.reset_code is not None:
            return
        connection = self.connection
        self._unpaid -= count
        connection.took(count)
        if not self.remote_ended:
            self._owed += count
            if self._owed >= connection.limits.stream_step:
                connection.put(frames.window_update(self.id, self._owed))
                self.room += self._owed
                self._owed = 0

    # What follows is Connection's side.

    def charge(self, count: int) -> bool:
        """Account for a DATA frame of `count` bytes; False when the peer was not allowed so many."""
        self._unpaid += count
        self.room -= count
        return self.room >= 0

    def deliver(self, view: memoryview) -> None:
        """Pass payload on to the sink, or keep it until there is one."""
        if self.reset_code is not None:
            return
        if self.sink is not None:
            self.sink.data(view)
        else:
            self._early += view

    def end_remote(self) -> None:
        """The peer's END_STREAM came."""
        self.remote_ended = True
        if self.local_ended:
            self.connection.release(self)
        if self.sink is not None:
            self.sink.ended()

    def lose(self, code: int) -> None:
        """The stream was reset by the peer, or its connection is gone."""
        if self.closed:
            return
        self.reset_code = code
        self.connection.release(self)
        if self.sink is not None:
            self.sink.was_reset(code)
        elif self.on_withdrawn is not None:
            self.on_withdrawn()

    def forgo(self) -> int:
        """Bytes that no sink will ever take: how much of the connection's window they still hold."""
        unpaid, self._unpaid = self._unpaid, 0
        return unpaid

    def offer(self) -> None:
        """Tell the sink that there may be a hole for it now."""
        if self.sink is not None and not self.local_ended and self.reset_code is None:
            self.sink.may_send()

    def _end_local(self) -> None:
        self.local_ended = True
        if self.remote_ended:
            self.connection.release(self)
