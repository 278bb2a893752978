"""What two HTTP peers say to each other, whatever version carries it.

A message is a head, any number of `Body`, at most one `Trailers`, and `End`; `Interim` heads may precede a response's
head. `Reset` cuts a message short. A server's codec gives `Malformed` in place of a head that it will not take.
Header names are lower-case. Fields that describe a single hop (RFC 9110, section 7.6.1) and `host` are not among a
head's headers: the codec takes them off, and puts its own on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Headers = tuple[tuple[bytes, bytes], ...]

MAX_HEAD: Final = 64 * 1024
"""Bytes of names and values that a head may have; more is answered with 431."""

MAX_FIELDS: Final = 256
"""Header fields that a head or a trailer section may have; more is answered with 431."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What a caller asks for. `path` is in origin form with the query, or `*`; `ends` says that no body follows."""

    method: bytes
    authority: bytes
    path: bytes
    headers: Headers = ()
    scheme: bytes = b"http"
    ends: bool = False
    upgrade: bytes = b""
    """The protocol that the caller would rather speak on this connection (RFC 9110, section 7.8), or nothing."""


@dataclass(frozen=True, slots=True)
class Interim:
    """A response head of class 1xx that precedes the final one: 100, 102, 103."""

    status: int
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What the server answers. After status 101 `Body` carries the bytes of the `upgrade` protocol, both ways."""

    status: int
    headers: Headers = ()
    ends: bool = False
    upgrade: bytes = b""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of the content. `cost` is what they take from the flow-control window (padding counts)."""

    data: bytes
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Trailers:
    """Fields after the content."""

    headers: Headers


@dataclass(frozen=True, slots=True)
class End:
    """The message is complete."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The message ends here and is not complete. `code` is an error code of RFC 9113, section 7.

    `unprocessed` says that the peer promises not to have acted on the request (refused stream, or beyond its GOAWAY).
    """

    code: int
    detail: str = ""
    unprocessed: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """A request that is refused before it is one: answer `status` and nothing else."""

    status: int
    detail: str


Event = RequestHead | Interim | ResponseHead | Body | Trailers | End | Reset | Malformed

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
CONNECT_ERROR: Final = 10
ENHANCE_YOUR_CALM: Final = 11


def value(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a field, or None."""
    for field, text in headers:
        if field == name:
            return text
    return None


def size(headers: Headers) -> int:
    """What a header list counts against MAX_HEAD: RFC 9113's measure without its 32 bytes for each field."""
    total = 0
    for name, text in headers:
        total += len(name) + len(text)
    return total
