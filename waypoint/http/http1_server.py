"""The end of an HTTP/1.1 connection that answers."""

from __future__ import annotations

from waypoint.http import head, section
from waypoint.http.events import (
    End,
    Event,
    Headers,
    Interim,
    Malformed,
    RequestHead,
    Reset,
    ResponseHead,
    value,
)
from waypoint.http.framing import Chunked, Length
from waypoint.http.head import Fault
from waypoint.http.http1 import Http1


class Http1Server(Http1):
    """Reads requests, sends responses; a request in pipeline waits for the answer to the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._method = b""
        self._minor = 1
        self._draining = False

    def begin(self, request: RequestHead) -> int | None:  # noqa: ARG002
        """See `Codec`."""
        return None

    def drain(self) -> None:
        """See `Codec`."""
        self._draining = True
        self._over = self._over or not self._busy()
        self._keep = self._keep and not self._over

    def send(self, stream: int, event: Event) -> None:
        """See `Codec`."""
        if isinstance(event, Reset):
            if stream == self._stream:
                self._abort()
        elif isinstance(event, ResponseHead | Interim):
            if stream == self._stream and self._writer == "idle" and not self._sent:
                self._respond(event)
        else:
            self._content(event, stream)

    def _busy(self) -> bool:
        return bool(self._method)

    def _may_begin(self) -> bool:
        return not self._method and self._keep

    def _head(self) -> Event | None:
        while self._buffer[:2] == b"\r\n":
            del self._buffer[:2]
        text = self._section()
        if text is None:
            return None
        event = text if isinstance(text, Fault) else self._request(text)
        if isinstance(event, Fault):
            self._method = b"?"
            return self._fail(Malformed(event.status, event.detail))
        self._method = event.method
        return event

    def _request(self, text: bytes) -> RequestHead | Fault:
        parts = section.parted(text)
        if isinstance(parts, Fault):
            return parts
        start, rest = parts
        line = head.request_line(start)
        if isinstance(line, Fault):
            return line
        fields = section.read(rest)
        if isinstance(fields, Fault):
            return fields
        if line.minor and fields.host is None:
            return Fault(400, "HTTP/1.1 without a Host header")
        if not line.minor and fields.chunked:
            return Fault(400, "HTTP/1.0 knows no transfer coding")
        self._minor = line.minor
        self._keep = line.minor >= 1 and b"close" not in fields.options
        self._reader = Chunked() if fields.chunked else Length(fields.length or 0)
        ends = not fields.chunked and not fields.length
        # What cannot be told apart from the tunnel's bytes, or would change who reads them, is no upgrade for us.
        upgrade = fields.upgrade if ends and line.minor and b"h2c" not in fields.upgrade.lower() else b""
        return RequestHead(
            method=line.method,
            authority=line.authority if line.authority is not None else fields.host or b"",
            path=line.path,
            headers=fields.headers,
            ends=ends,
            upgrade=upgrade,
        )

    def _respond(self, event: ResponseHead | Interim) -> None:
        headers = event.headers
        if isinstance(event, Interim):
            if self._minor:
                self._out.append(head.print_response(event.status, headers))
            return
        if event.status == 101:
            self._switch()
            headers = (*headers, (b"connection", b"upgrade"), (b"upgrade", event.upgrade))
            self._out.append(head.print_response(101, headers))
            return
        headers = self._frame(event)
        if self._draining or not self._keep:
            self._keep = False
            headers = (*headers, (b"connection", b"close"))
        self._out.append(head.print_response(event.status, headers))

    def _frame(self, event: ResponseHead) -> Headers:
        length = value(event.headers, b"content-length")
        if self._method == b"HEAD" or event.status in {204, 304}:
            self._writer = "nothing"
            without = event.status == 204
            return tuple(field for field in event.headers if not (without and field[0] == b"content-length"))
        if length is not None:
            self._writer, self._left = "length", int(length)
            return event.headers
        if event.ends:
            self._writer = "nothing"
            return (*event.headers, (b"content-length", b"0"))
        if self._minor:
            self._writer = "chunked"
            return (*event.headers, (b"transfer-encoding", b"chunked"))
        self._writer = "close"
        return event.headers

    def _turn(self) -> None:
        if self._sent and not self._received and not self._tunnel:
            # The answer is complete and the request is not: what is left of it cannot be told from a next one.
            self._fail(End())
        if self._sent and (self._received or self._deaf):
            self._method = b""
            self._over = self._over or not self._keep or self._draining
            self._again()
        elif not self._keep and not self._busy():
            self._over = True
