"""HTTP/2 frames (RFC 9113, sections 4 and 6): their numbers, and how each is packed. Reading is connection.py's."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD: Final = Struct(">IBI")
"""A frame's head read as three numbers: length << 8 | type, flags, stream id (its top bit is reserved)."""
HEAD_SIZE: Final = 9
STREAM_ID: Final = 0x7FFF_FFFF
LARGEST_WINDOW: Final = 0x7FFF_FFFF
SMALLEST_MAX_FRAME: Final = 16_384
LARGEST_MAX_FRAME: Final = 16_777_215
DEFAULT_WINDOW: Final = 65_535

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20


class Setting(IntEnum):
    """RFC 9113, section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


_SETTING: Final = Struct(">HI")
_U32: Final = Struct(">I")
_GOAWAY: Final = Struct(">II")


def code_name(code: int) -> str:
    """An error code as a person reads it; codes nobody has named stay numbers."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error {code}"


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Any frame: its head and the payload behind it."""
    return HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: dict[Setting, int]) -> bytes:
    """SETTINGS that announces `values`."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def read_settings(payload: memoryview) -> list[tuple[int, int]]:
    """The pairs of a SETTINGS payload, whose length is a multiple of six."""
    return list(_SETTING.iter_unpack(payload))


def window_update(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE; stream 0 is the connection's own window."""
    return frame(WINDOW_UPDATE, 0, stream_id, _U32.pack(increment))


def rst_stream(stream_id: int, code: int) -> bytes:
    """RST_STREAM."""
    return frame(RST_STREAM, 0, stream_id, _U32.pack(code))


def goaway(last_stream_id: int, code: int, detail: bytes = b"") -> bytes:
    """GOAWAY: streams above `last_stream_id` were not and will not be processed."""
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last_stream_id, code) + detail)


def read_goaway(payload: memoryview) -> tuple[int, int, bytes]:
    """Last stream id, error code and debug text of a GOAWAY payload of eight bytes or more."""
    last, code = _GOAWAY.unpack_from(payload)
    return last & STREAM_ID, code, bytes(payload[_GOAWAY.size :])


def headers(stream_id: int, block: bytes, *, end_stream: bool, max_frame: int) -> bytes:
    """HEADERS, and as many CONTINUATIONs as the peer's `max_frame` makes necessary."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_frame:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + max_frame] for at in range(0, len(block), max_frame)]
    parts = [frame(HEADERS, flags, stream_id, pieces[0])]
    parts += [frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    parts.append(frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
    return b"".join(parts)
