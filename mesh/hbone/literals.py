"""HPACK blocks of literals alone (RFC 7541, section 6.2.2): never indexed, never Huffman coded, so without any state.

All that we write is of this kind. Read here, such a block takes a fraction of the time that a full decoder needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Field = tuple[bytes, bytes]

CONNECT: Final = b"\x02\x07CONNECT"
STATUS_200: Final = b"\x88"
TABLE_SIZE_ZERO: Final = b"\x20"
"""Dynamic table size update to 0; opens the block that follows a peer's smaller table (RFC 7541, section 4.2)."""

_NEW_NAME: Final = 0
_STATIC_NAMES: Final = {1: b":authority", 2: b":method", 8: b":status"}
_INDEX: Final = {name: bytes((index,)) for index, name in _STATIC_NAMES.items()}
_FIELD_OVERHEAD: Final = 32
"""What RFC 9113, section 6.5.2, adds for every field of a header list."""


def encode(fields: Iterable[Field]) -> bytes:
    """A block of literals; names are in lower case already."""
    return b"".join([(_INDEX.get(name) or b"\0" + _string(name)) + _string(value) for name, value in fields])


def decode(block: bytes, longest_list: int) -> list[Field] | None:
    """The fields of a block that holds nothing but literals within `longest_list`; None for every other block."""
    fields: list[Field] = []
    at, end, size = 0, len(block), 0
    try:
        while at < end:
            kind = block[at]
            at += 1
            if kind == STATUS_200[0]:
                fields.append((b":status", b"200"))
                size += len(b":status200") + _FIELD_OVERHEAD
                continue
            if kind == _NEW_NAME:
                length, at = _length(block, at)
                name = block[at : at + length]
                at += length
            else:
                name = _STATIC_NAMES[kind]
            length, at = _length(block, at)
            value = block[at : at + length]
            at += length
            size += len(name) + length + _FIELD_OVERHEAD
            fields.append((name, value))
    except LookupError:
        return None
    return fields if at == end and size <= longest_list else None


def _string(text: bytes) -> bytes:
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    head = bytearray(b"\x7f")
    length -= 127
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + text


def _length(block: bytes, at: int) -> tuple[int, int]:
    """A string's length and beginning; LookupError for Huffman coding and for lengths beyond three bytes."""
    length = block[at]
    if length < 127:
        return length, at + 1
    low, high = block[at + 1], 0
    if length > 127:
        raise LookupError
    if low > 127:
        high = block[at + 2]
        if high > 127:
            raise LookupError
        return 127 + (low & 127 | high << 7), at + 3
    return 127 + low, at + 2
