"""Where the body of an HTTP/1.1 message ends (RFC 9112, sections 6 and 7): four ways, one reader each.

A reader consumes what it can from the front of a buffer and gives events; `Fault` when the peer breaks the framing.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from waypoint.http import head, section
from waypoint.http.events import MAX_HEAD, Body, End, Event, Headers, Trailers
from waypoint.http.head import Fault

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LONGEST_CHUNK_LINE: Final = 1024

STEP: Final = 64 * 1024
"""The most bytes that one Body of HTTP/1.1 holds."""


_END: Final = End()


class Reader(Protocol):
    """One way to find the end."""

    def read(self, buffer: bytearray) -> Event | Fault | None:
        """The next event, or None when more bytes are needed. After `End` the reader is spent."""

    def cut(self) -> Event | Fault:
        """What it means that the peer sends no more."""


class Length:
    """So many bytes. With none it is the reader of messages that have no body."""

    def __init__(self, length: int) -> None:
        self._left = length

    def read(self, buffer: bytearray) -> Event | None:
        """See `Reader`."""
        if not self._left:
            return _END
        data = _cut(buffer, min(self._left, STEP))
        self._left -= len(data)
        return Body(data, len(data)) if data else None

    def cut(self) -> Fault:
        """See `Reader`."""
        return Fault(400, f"the body ended {self._left} bytes early")


class UntilClose:
    """Everything until the peer closes: a response without a length, or what follows status 101."""

    def read(self, buffer: bytearray) -> Event | None:
        """See `Reader`."""
        data = _cut(buffer, STEP)
        return Body(data, len(data)) if data else None

    def cut(self) -> Event:
        """See `Reader`."""
        return End()


class Chunked:
    """Chunks, each behind its size, and a trailer section after the empty one."""

    def __init__(self) -> None:
        self._left = 0
        self._state = "size"

    def read(self, buffer: bytearray) -> Event | Fault | None:
        """See `Reader`."""
        if self._state == "size":
            fault = self._size(buffer)
            if fault is not None:
                return fault
        if self._state == "data":
            return self._data(buffer)
        if self._state == "trailers":
            return self._trailers(buffer)
        return End() if self._state == "done" else None

    def cut(self) -> Fault:
        """See `Reader`."""
        return Fault(400, "the body ended inside its chunks")

    def _size(self, buffer: bytearray) -> Fault | None:
        end = buffer.find(b"\r\n", 0, _LONGEST_CHUNK_LINE + 2)
        if end < 0:
            return Fault(400, "a chunk size line is too long") if len(buffer) > _LONGEST_CHUNK_LINE else None
        found = _CHUNK_LINE.fullmatch(buffer, 0, end)
        if found is None:
            return Fault(400, "a chunk size is malformed")
        self._left = int(found[1], 16)
        self._state = "data" if self._left else "trailers"
        del buffer[: end if not self._left else end + 2]
        return None

    def _data(self, buffer: bytearray) -> Event | Fault | None:
        if self._left:
            data = _cut(buffer, min(self._left, STEP))
            self._left -= len(data)
            return Body(data, len(data)) if data else None
        if len(buffer) < 2:
            return None
        if buffer[:2] != b"\r\n":
            return Fault(400, "a chunk is longer than its size")
        del buffer[:2]
        self._state = "size"
        return self.read(buffer)

    def _trailers(self, buffer: bytearray) -> Event | Fault | None:
        # The line break of the size line is still there, so that an empty section looks like any other.
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return Fault(431, "the trailer section is too long") if len(buffer) > MAX_HEAD else None
        text = bytes(buffer[2 : end + 4])
        del buffer[: end + 4]
        self._state = "done"
        read = section.trailers(text)
        if isinstance(read, Fault):
            return read
        return Trailers(read) if read else End()


def chunk(data: bytes) -> bytes:
    """One chunk of these bytes, which must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers = ()) -> bytes:
    """The end of a chunked body."""
    return b"0\r\n" + head.print_fields(trailers)


def _cut(buffer: bytearray, size: int) -> bytes:
    if size >= len(buffer):
        data = bytes(buffer)
        buffer.clear()
        return data
    data = bytes(memoryview(buffer)[:size])
    del buffer[:size]
    return data
