"""Header compression (RFC 7541) for heads that pass through: reading all of it, writing what needs no state.

A block that changes no table means the same as long as the table stays as it is. So what a peer repeats is read once.
What is written is never indexed, which is also what section 6.2.3 demands of an intermediary for secrets.
"""

from __future__ import annotations

from typing import Final

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from waypoint.http import head

Field = tuple[bytes, bytes]

TABLE_SIZE: Final = 4096
_OVERHEAD: Final = 32
"""What a field counts beside its bytes (RFC 7541, section 4.1; RFC 9113, section 6.5.2)."""
_STATIC: Final[tuple[Field, ...]] = (
    (b"", b""),
    *((bytes(name), bytes(text)) for name, text in HeaderTable.STATIC_TABLE),
)
_FIRST_DYNAMIC: Final = len(_STATIC)
_KEPT: Final = 1024
_KEPT_BYTES: Final = 256
"""Blocks and texts longer than this are not kept."""


class Unreadable(Exception):
    """A block that is none; the connection's table is lost with it."""


class TooLong(Exception):
    """A header list beyond the limit."""


class Section:
    """The fields of a block, not to be changed; the same object again for a block that says the same again."""

    __slots__ = ("fields", "meaning")

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields
        self.meaning: object = None
        """What its reader has made of it."""


class Decoder:
    """One direction of a connection."""

    __slots__ = ("_entries", "_known", "_limit", "_list_limit", "_size")

    def __init__(self, longest_list: int) -> None:
        self._entries: list[Field] = []
        """The newest last."""
        self._size = 0
        self._limit = TABLE_SIZE
        self._list_limit = longest_list
        self._known: dict[bytes, Section] = {}
        """Blocks read since the table changed last."""

    def decode(self, block: bytes) -> Section:
        """Read a block. Raises Unreadable or TooLong."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            fields, pure = self._fields(block)
        except (IndexError, HPACKError) as fault:
            raise Unreadable(f"a header block that cannot be read: {fault}") from None
        section = Section(fields)
        if pure and len(block) <= _KEPT_BYTES:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[block] = section
        return section

    def _fields(self, block: bytes) -> tuple[list[Field], bool]:
        """The fields, and whether the table stayed as it was."""
        fields: list[Field] = []
        at, end, size, pure = 0, len(block), 0, True
        while at < end:
            byte = block[at]
            if byte & 0x80:
                index, at = _integer(block, at, 0x7F)
                field = self._entry(index)
            elif byte & 0x60 == 0x20:
                if fields:
                    raise Unreadable("a change of the table's size behind a field")
                limit, at = _integer(block, at, 0x1F)
                self._resize(limit)
                pure = False
                continue
            else:
                indexed = byte & 0x40
                index, at = _integer(block, at, 0x3F if indexed else 0x0F)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at)
                text, at = _string(block, at)
                field = (name, text)
                if indexed:
                    self._insert(field)
                    pure = False
            size += len(field[0]) + len(field[1]) + _OVERHEAD
            if size > self._list_limit:
                raise TooLong(f"a header list above {self._list_limit} bytes")
            fields.append(field)
        return fields, pure

    def _entry(self, index: int) -> Field:
        if 0 < index < _FIRST_DYNAMIC:
            return _STATIC[index]
        if not index:
            raise Unreadable("index 0")
        return self._entries[_FIRST_DYNAMIC - 1 - index]

    def _insert(self, field: Field) -> None:
        self._known.clear()
        self._entries.append(field)
        self._size += len(field[0]) + len(field[1]) + _OVERHEAD
        self._evict()

    def _resize(self, limit: int) -> None:
        if limit > TABLE_SIZE:
            raise Unreadable("a table larger than allowed")
        self._known.clear()
        self._limit = limit
        self._evict()

    def _evict(self) -> None:
        gone = 0
        while self._size > self._limit:
            name, text = self._entries[gone]
            self._size -= len(name) + len(text) + _OVERHEAD
            gone += 1
        if gone:
            del self._entries[:gone]


def encode(fields: tuple[Field, ...] | list[Field]) -> bytes:
    """The block of these fields; those of a single hop are left out. Raises ValueError for what no field may hold."""
    known = _written.get
    return b"".join([known(field) or _write(field) for field in fields])


def _write(field: Field) -> bytes:
    name, text = field
    exact = _EXACT.get(field)
    if exact is not None:
        written = exact
    elif name in head.ONE_HOP:
        return b""
    else:
        if not (name[:1] == b":" or head.is_field_name(name)) or not head.is_field_text(text):
            raise ValueError(f"the field {name!r} holds what no field may")
        index = _NAMES.get(name)
        written = (_prefixed(index, 0x10, 0x0F) if index else b"\x10" + _literal(name)) + _literal(text)
    if len(name) + len(text) <= _KEPT_BYTES and name not in head.SECRET:
        if len(_written) >= _KEPT:
            _written.clear()
        _written[field] = written
    return written


def _literal(text: bytes) -> bytes:
    return _prefixed(len(text), 0, 0x7F) + text


def _prefixed(number: int, flags: int, mask: int) -> bytes:
    """An integer behind some flags (RFC 7541, section 5.1)."""
    if number < mask:
        return bytes((flags | number,))
    out = bytearray((flags | mask,))
    number -= mask
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    number = block[at] & mask
    at += 1
    if number < mask:
        return number, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 28:
            raise Unreadable("an integer without end")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    coded = block[at] & 0x80
    length, at = _integer(block, at, 0x7F)
    end = at + length
    text = block[at:end]
    if len(text) != length:
        raise Unreadable("a string cut short")
    return (_plain(text) if coded else text), end


def _plain(coded: bytes) -> bytes:
    """A Huffman-coded text."""
    known = _decoded.get(coded)
    if known is None:
        known = decode_huffman(coded)
        if len(coded) <= 64:
            if len(_decoded) >= _KEPT:
                _decoded.clear()
            _decoded[coded] = known
    return known


_decoded: Final[dict[bytes, bytes]] = {}
_written: Final[dict[Field, bytes]] = {}
_EXACT: Final = {field: bytes((0x80 | index,)) for index, field in enumerate(_STATIC) if index and field[1]}
_NAMES: Final = {field[0]: index for index, field in reversed(list(enumerate(_STATIC))) if index}
