"""Frames byte by byte, as RFC 9113 draws them."""

from __future__ import annotations

import pytest
from hyperframe.frame import Frame

from mesh.hbone import frames
from mesh.hbone.frames import ErrorCode, Setting


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (frames.window_update(3, 0x1234), b"\0\0\x04\x08\0\0\0\0\x03\0\0\x12\x34"),
        (frames.rst_stream(5, ErrorCode.CANCEL), b"\0\0\x04\x03\0\0\0\0\x05\0\0\0\x08"),
        (frames.goaway(7, ErrorCode.NO_ERROR, b"bye"), b"\0\0\x0b\x07\0\0\0\0\0\0\0\0\x07\0\0\0\0bye"),
        (frames.settings({Setting.MAX_FRAME_SIZE: 16_384}), b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0"),
        (frames.frame(frames.DATA, frames.END_STREAM, 1), b"\0\0\0\0\x01\0\0\0\x01"),
    ],
)
def test_packed_frames(packed: bytes, expected: bytes) -> None:
    assert packed == expected


@pytest.mark.parametrize("size", [0, 16_383, 16_384, 16_385, 50_000])
def test_a_long_block_is_continued(size: int) -> None:
    """hyperframe, which we do not use, reads the same block back."""
    packed = frames.headers(9, bytes(size), end_stream=True, max_frame=16_384)
    kinds, block = [], b""
    while packed:
        frame, length = Frame.parse_frame_header(memoryview(packed[:9]))
        frame.parse_body(memoryview(packed[9 : 9 + length]))
        packed = packed[9 + length :]
        kinds.append((frame.type, "END_HEADERS" in frame.flags, "END_STREAM" in frame.flags))
        block += frame.data  # type: ignore[attr-defined]
    assert block == bytes(size)
    kinds_but_first = [(frames.CONTINUATION, False, False)] * (len(kinds) - 2) + [(frames.CONTINUATION, True, False)]
    assert kinds[0] == (frames.HEADERS, len(kinds) == 1, True)
    assert kinds[1:] == kinds_but_first[: len(kinds) - 1]


def test_numbers_nobody_named_stay_numbers() -> None:
    assert frames.code_name(8) == "CANCEL"
    assert frames.code_name(4711) == "error 4711"


def test_goaway_is_read_back() -> None:
    packed = frames.goaway(5, ErrorCode.ENHANCE_YOUR_CALM, b"slower")
    assert frames.read_goaway(memoryview(packed)[9:]) == (5, ErrorCode.ENHANCE_YOUR_CALM, b"slower")
