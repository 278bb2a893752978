"""Header fields of a CONNECT and of its answer: to and from HPACK blocks (RFC 7541), checked by RFC 9113, section 8.

What we write is literals alone; what a peer sends may use all of HPACK, and then reading is the hpack library's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

from mesh.hbone import literals
from mesh.hbone.literals import Field

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"(?![ \t])[^\x00-\x08\x0a-\x1f\x7f]*(?<![ \t])")
_OF_ONE_HOP: Final = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))


class BlockUnreadable(Exception):
    """A header block that cannot be decoded; the connection's compression state is lost with it."""


class BlockTooLong(Exception):
    """A header list above the announced limit."""


@dataclass(frozen=True, slots=True)
class Connect:
    """A well-formed CONNECT request."""

    authority: str
    headers: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """A well-formed response head."""

    status: int
    headers: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A header list that RFC 9113 forbids: an error of its stream."""

    detail: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A well-formed request that is no plain CONNECT."""

    detail: str


def encode_connect(authority: str, headers: Iterable[Field]) -> bytes:
    """The header block of a CONNECT."""
    return literals.CONNECT + literals.encode([(b":authority", authority.encode("ascii")), *headers])


def encode_answer(status: int, headers: Iterable[Field]) -> bytes:
    """The header block of a response."""
    head = literals.STATUS_200 if status == 200 else literals.encode([(b":status", b"%d" % status)])
    return head + literals.encode(headers)


def decoder(longest_list: int) -> Decoder:
    """A decoder that refuses header lists above `longest_list` bytes (as RFC 9113, section 6.5.2 counts them)."""
    made = Decoder(max_header_list_size=longest_list)
    made.max_allowed_table_size = 4096
    return made


def decode(reader: Decoder, block: bytes) -> list[Field]:
    """The fields of a block. Raises BlockUnreadable or BlockTooLong."""
    plain = literals.decode(block, reader.max_header_list_size)
    if plain is not None:
        return plain
    try:
        return [(name, value) for name, value in reader.decode(block, raw=True)]
    except OversizedHeaderListError as fault:
        raise BlockTooLong(str(fault)) from None
    except (HPACKError, ValueError, IndexError, TypeError) as fault:
        raise BlockUnreadable(str(fault)) from None


def read_connect(fields: Iterable[Field]) -> Connect | Malformed | Unsupported:
    """Judge a request's header list."""
    parted = _part(fields)
    if isinstance(parted, Malformed):
        return parted
    pseudo, headers = parted
    wrong = _wrong_request(pseudo)
    if wrong is not None:
        return wrong
    try:
        return Connect(pseudo[b":authority"].decode("ascii"), headers)
    except (KeyError, UnicodeDecodeError):
        return Unsupported("a CONNECT needs an :authority in ASCII")


def read_answer(fields: Iterable[Field]) -> Answer | Malformed:
    """Judge a response's header list."""
    parted = _part(fields)
    if isinstance(parted, Malformed):
        return parted
    pseudo, headers = parted
    status = pseudo.get(b":status", b"")
    if len(pseudo) != 1 or len(status) != 3 or not status.isdigit():
        return Malformed("a response has one :status of three digits and no other pseudo-header field")
    return Answer(int(status), headers)


def _wrong_request(pseudo: Mapping[bytes, bytes]) -> Malformed | Unsupported | None:
    known = {b":method", b":authority", b":scheme", b":path", b":protocol"}
    if not pseudo.keys() <= known or b":method" not in pseudo:
        return Malformed("not the pseudo-header fields of a request")
    if pseudo[b":method"] != b"CONNECT":
        return Unsupported("the method is not CONNECT")
    if b":protocol" in pseudo:
        return Unsupported("an extended CONNECT (RFC 8441) asks for another protocol than TCP")
    if b":scheme" in pseudo or b":path" in pseudo:
        return Malformed("a CONNECT has no :scheme and no :path")
    return None


def _part(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]] | Malformed:
    pseudo: dict[bytes, bytes] = {}
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        if _VALUE.fullmatch(value) is None:
            return Malformed(f"the value of {name!r} holds what no field value may")
        if name.startswith(b":"):
            if headers or name in pseudo:
                return Malformed(f"{name!r} stands twice or behind the ordinary fields")
            pseudo[name] = value
        elif _NAME.fullmatch(name) is None or name in _OF_ONE_HOP:
            return Malformed(f"{name!r} may not stand in an HTTP/2 header list")
        else:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return pseudo, headers
