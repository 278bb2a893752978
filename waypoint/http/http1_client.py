"""The end of an HTTP/1.1 connection that asks."""

from __future__ import annotations

from typing import Final

from waypoint.http import head, section
from waypoint.http.events import PROTOCOL_ERROR, End, Event, Interim, RequestHead, Reset, ResponseHead, value
from waypoint.http.framing import Chunked, Length, UntilClose
from waypoint.http.head import Fault
from waypoint.http.http1 import Http1

_METHODS_WITH_CONTENT: Final = frozenset({b"POST", b"PUT", b"PATCH"})


class Http1Client(Http1):
    """Sends requests, reads responses; never asks before the answer to the request before is complete."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: RequestHead | None = None

    def begin(self, request: RequestHead) -> int | None:
        """See `Codec`."""
        if not self.usable or self._busy():
            return None
        self._ask(request)
        return self._stream

    def drain(self) -> None:
        """See `Codec`."""
        self._keep = False
        self._over = self._over or not self._busy()

    def send(self, stream: int, event: Event) -> None:
        """See `Codec`."""
        if isinstance(event, Reset):
            if stream == self._stream:
                self._abort()
        elif self._asked is not None:
            self._content(event, stream)

    def _fail(self, event: Event) -> Event:
        self._aborted = True
        return super()._fail(event)

    def _busy(self) -> bool:
        return self._asked is not None

    def _may_begin(self) -> bool:
        if self._asked is None and self._buffer:
            # Bytes that no request asked for: a backend that speaks first is not to be believed again.
            self._fail(End())
            self._over = True
        return self._asked is not None and not self._received

    def _ask(self, event: RequestHead) -> None:
        self._asked = event
        headers = event.headers
        length = value(headers, b"content-length")
        if length is not None:
            self._writer, self._left = "length", int(length)
        elif event.ends:
            self._writer = "nothing"
            if event.method in _METHODS_WITH_CONTENT:
                headers = (*headers, (b"content-length", b"0"))
        else:
            self._writer = "chunked"
            headers = (*headers, (b"transfer-encoding", b"chunked"))
        options = [name for name in (b"te",) if value(headers, name) is not None]
        if event.upgrade:
            options.append(b"upgrade")
            headers = (*headers, (b"upgrade", event.upgrade))
        if options:
            headers = (*headers, (b"connection", b", ".join(options)))
        self._out.append(head.print_request(event.method, event.path, event.authority, headers))

    def _head(self) -> Event | None:
        text = self._section()
        if text is None:
            return None
        event = text if isinstance(text, Fault) else self._response(text)
        return self._fail(Reset(PROTOCOL_ERROR, event.detail)) if isinstance(event, Fault) else event

    def _response(self, text: bytes) -> ResponseHead | Interim | Fault:
        parts = section.parted(text)
        if isinstance(parts, Fault):
            return parts
        start, rest = parts
        line = head.status_line(start)
        if isinstance(line, Fault):
            return line
        fields = section.read(rest)
        if isinstance(fields, Fault):
            return fields
        if line.status == 101:
            return self._switched(fields)
        if line.status < 200:
            return Interim(line.status, fields.headers)
        return self._final(line, fields)

    def _final(self, line: head.StatusLine, fields: section.Fields) -> ResponseHead:
        self._keep = self._keep and line.minor == 1 and b"close" not in fields.options
        bodiless = (self._asked is not None and self._asked.method == b"HEAD") or line.status in {204, 304}
        if bodiless:
            self._reader = Length(0)
        elif fields.chunked:
            self._reader = Chunked()
        elif fields.length is not None:
            self._reader = Length(fields.length)
        else:
            self._reader = UntilClose()
            self._keep = False
        return ResponseHead(line.status, fields.headers, ends=bodiless or fields.length == 0)

    def _switched(self, fields: section.Fields) -> ResponseHead | Fault:
        if self._asked is None or not self._asked.upgrade or not fields.upgrade or not self._sent:
            return Fault(502, "the backend switches to a protocol that nobody asked for")
        self._switch()
        return ResponseHead(101, fields.headers, upgrade=fields.upgrade)

    def _turn(self) -> None:
        if self._received and not self._sent and self._asked is not None and not self._tunnel:
            # The answer came before the request was through: the connection is good for nothing afterwards.
            self._keep = False
        if self._received and (self._sent or self._deaf):
            self._asked = None
            self._again()
        if not self._keep and self._asked is None:
            self._over = True
