"""What the other end of a connection has announced in its SETTINGS (RFC 9113, section 6.5)."""

from __future__ import annotations

from typing import Final

from mesh.hbone import frames
from mesh.hbone.frames import ErrorCode, Setting
from mesh.hbone.literals import TABLE_SIZE_ZERO
from mesh.hbone.violation import Violation, broken

_DEFAULT_TABLE: Final = 4096
_STREAMS_ASSUMED: Final = 100
"""Until the peer has said how many streams it takes at once."""


class PeerSettings:
    """The values in force, from HTTP/2's defaults on."""

    __slots__ = ("_serves", "_table_shrunk", "max_frame", "streams", "window")

    def __init__(self, *, serves: bool) -> None:
        self.window = frames.DEFAULT_WINDOW
        self.max_frame = frames.SMALLEST_MAX_FRAME
        self.streams = _STREAMS_ASSUMED
        self._serves = serves
        self._table_shrunk = False

    def apply(self, payload: memoryview) -> int:
        """Take a SETTINGS payload over; returns by how much every stream's window grows. Raises Violation."""
        if len(payload) % 6:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS cut short")
        before = self.window
        for key, value in frames.read_settings(payload):
            self._set(key, value)
        return self.window - before

    def table_notice(self) -> bytes:
        """What opens the next header block when the peer has asked for a small HPACK table: ours has no entries."""
        if not self._table_shrunk:
            return b""
        self._table_shrunk = False
        return TABLE_SIZE_ZERO

    def _set(self, key: int, value: int) -> None:
        if key == Setting.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise Violation(ErrorCode.FLOW_CONTROL_ERROR, f"an initial window of {value} bytes")
            self.window = value
        elif key == Setting.MAX_FRAME_SIZE:
            if not frames.SMALLEST_MAX_FRAME <= value <= frames.LARGEST_MAX_FRAME:
                raise broken(f"a largest frame of {value} bytes")
            self.max_frame = value
        elif key == Setting.MAX_CONCURRENT_STREAMS:
            self.streams = value
        elif key == Setting.HEADER_TABLE_SIZE:
            self._table_shrunk = value < _DEFAULT_TABLE
        elif key == Setting.ENABLE_PUSH and value > (0 if self._serves else 1):
            raise broken(f"ENABLE_PUSH {value}")
