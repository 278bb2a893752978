"""A connection that speaks HTTP/1.1 (RFC 9112), as a state machine: what the server's and the client's end share.

One exchange at a time. Each has a stream number, so that HTTP/1.1 looks like HTTP/2 from above: 1, 2, 3...

    receiving:  head -> body -> (trailers) -> end       `_reader` is None while a head is awaited
    sending:    head -> body -> (trailers) -> end       `_writer` says how the body is framed
    both ended: the next exchange, if both sides keep the connection; else the transport is closed.

After status 101 both directions begin again, as bytes without framing.
"""

from __future__ import annotations

import re
from typing import Final

from waypoint.http import framing
from waypoint.http.events import CANCEL, MAX_HEAD, PROTOCOL_ERROR, Body, End, Event, Headers, Reset, Trailers
from waypoint.http.framing import Reader, UntilClose
from waypoint.http.head import Fault

_LONE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_MAY_HOLD: Final = 256 * 1024
"""Body bytes given out and not yet credited, beyond which no more are read."""


class Http1:
    """The exchange's two directions, and when the next may begin."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._out: list[bytes] = []
        self._stream = 1
        self._reader: Reader | None = None
        self._writer: str = "idle"
        self._left = 0
        self._trailers: Headers = ()
        self._received = self._sent = False
        self._keep = True
        self._held = 0
        self._deaf = False
        self._tunnel = False
        self._aborted = False
        self._over = False

    def take(self) -> bytes:
        """See `Codec`."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    @property
    def due(self) -> bool:
        """See `Codec`."""
        return bool(self._out) or self._over or self._aborted

    def room(self, stream: int) -> int:
        """See `Codec`. HTTP/1.1 has no window; the transport's own pace is the limit."""
        return framing.STEP if stream == self._stream and not self._sent else 0

    def credit(self, stream: int, cost: int) -> None:  # noqa: ARG002
        """See `Codec`."""
        self._held -= cost

    @property
    def hungry(self) -> bool:
        """See `Codec`."""
        return self._deaf or (self._held < _MAY_HOLD and len(self._buffer) <= 2 * MAX_HEAD)

    @property
    def over(self) -> bool:
        """See `Codec`."""
        return self._over

    @property
    def aborted(self) -> bool:
        """See `Codec`."""
        return self._aborted

    @property
    def usable(self) -> bool:
        """See `Codec`."""
        return self._keep and not self._over and not self._aborted

    @property
    def fault(self) -> str:
        """See `Codec`. Every fault belongs to a message, which is answered or cut."""
        return ""

    def receive(self, data: bytes) -> list[tuple[int, Event]]:
        """See `Codec`."""
        if self._deaf:
            return []
        if not data:
            events = self.resume()
            stream, event = self._stream, self._closed()
            return events if event is None else [*events, (stream, event)]
        self._buffer += data
        return self.resume()

    def resume(self) -> list[tuple[int, Event]]:
        """See `Codec`."""
        events: list[tuple[int, Event]] = []
        stream = self._stream
        while (self._buffer or self._reader is not None) and not self._deaf:
            event = self._next()
            if event is None:
                break
            events.append((stream, event))
            stream = self._stream
        return events

    def _next(self) -> Event | None:
        if self._reader is None:
            return self._head() if self._may_begin() else None
        event = self._reader.read(self._buffer)
        if isinstance(event, Fault):
            return self._fail(Reset(PROTOCOL_ERROR, event.detail))
        if isinstance(event, Body):
            self._held += event.cost
        elif isinstance(event, End):
            self._reader = None
            self._received = True
            self._turn()
        return event

    def _closed(self) -> Event | None:
        """What the end of the peer's bytes means now."""
        event: Event | Fault | None = None
        if self._reader is not None:
            event = self._reader.cut()
        elif self._busy():
            event = Fault(400, "the peer closed the connection")
        self._keep = False
        if isinstance(event, Fault):
            return self._fail(Reset(CANCEL, event.detail))
        if isinstance(event, End):
            self._reader = None
            self._received = True
        self._turn()
        return event

    def _fail(self, event: Event) -> Event:
        """Nothing that the peer sends from here on can be understood."""
        self._deaf = True
        self._keep = False
        self._received = True
        self._buffer.clear()
        return event

    def _section(self) -> bytes | Fault | None:
        """The next head with its empty line, taken from the buffer once it is whole."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0 and _LONE_LINE_FEED.search(buffer, self._scanned):
            return Fault(400, "a line ends without CR LF")
        if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
            return Fault(431, f"the head is larger than {MAX_HEAD} bytes")
        if end < 0:
            self._scanned = len(buffer)
            return None
        section = bytes(memoryview(buffer)[: end + 4])
        del buffer[: end + 4]
        self._scanned = 0
        return section

    def _body(self, event: Body) -> None:
        if not event.data:
            return
        if self._writer == "chunked":
            self._out.append(framing.chunk(event.data))
        elif self._writer == "length":
            self._left -= len(event.data)
            if self._left < 0:
                self._abort()
            else:
                self._out.append(event.data)
        elif self._writer in {"close", "tunnel"}:
            self._out.append(event.data)

    def _end(self) -> None:
        if self._writer == "chunked":
            self._out.append(framing.last_chunk(self._trailers))
        elif self._writer == "length" and self._left:
            self._abort()
        elif self._writer in {"close", "tunnel"}:
            self._keep = False
            self._over = True
        self._sent = True
        self._writer = "idle"
        self._turn()

    def _content(self, event: Event, stream: int) -> None:
        """Send what follows a head."""
        if stream != self._stream or self._sent or self._aborted:
            return
        if isinstance(event, Body):
            self._body(event)
        elif isinstance(event, Trailers):
            self._trailers = event.headers
        elif isinstance(event, End):
            self._end()

    def _abort(self) -> None:
        self._aborted = True
        self._fail(End())

    def _switch(self) -> None:
        """After 101 both directions carry bytes without framing."""
        self._tunnel = True
        self._keep = False
        self._reader = UntilClose()
        self._writer = "tunnel"
        self._received = self._sent = False

    def _turn(self) -> None:
        """Go on to the next exchange, or end the connection, once both directions are through."""
        raise NotImplementedError

    def _head(self) -> Event | None:
        raise NotImplementedError

    def _may_begin(self) -> bool:
        raise NotImplementedError

    def _busy(self) -> bool:
        raise NotImplementedError

    def _again(self) -> None:
        self._received = self._sent = False
        self._trailers = ()
        self._stream += 1
