"""The header section of an HTTP/1.1 message (RFC 9112, section 5), read as strictly as the rest of its head.

One connection says nearly the same section again and again, and so do many connections of one client program. So what
was read lately is kept: whole sections where every byte is as before, and single lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from waypoint.http.events import MAX_FIELDS, Headers
from waypoint.http.head import LENGTH, NOT_IN_TRAILERS, ONE_HOP, SECRET, TOKEN, VALUE, Fault, is_authority

_FIELD: Final = re.compile(rb"(" + TOKEN + rb"):[ \t]*(" + VALUE + rb")[ \t]*")

_SPECIAL: Final = ONE_HOP | {b"host", b"content-length", b"te"}
"""Fields that say something about the message itself, or about this hop."""

_SHORT: Final = 128
"""Bytes of the longest line that is kept."""
_KEPT: Final = 4096
_SHORT_SECTION: Final = 1024
"""Bytes of the longest section that is kept."""
_KEPT_SECTIONS: Final = 512

_known: Final[dict[bytes, tuple[bytes, bytes]]] = {}
"""Short lines that were read lately."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A header section: the end-to-end fields, and what those for this hop say."""

    headers: Headers
    host: bytes | None
    length: int | None
    chunked: bool
    options: frozenset[bytes]
    """The lower-case tokens of Connection."""
    upgrade: bytes


_sections: Final[dict[bytes, Fields]] = {}
"""Short sections without secrets that were read lately."""


def parted(head: bytes) -> tuple[bytes, bytes] | Fault:
    """The first line of a head, and the section after it with its empty line."""
    fault = _badly_broken(head)
    if fault is not None:
        return fault
    start, _, section = head.partition(b"\r\n")
    return start, section


def read(section: bytes) -> Fields | Fault:
    """The fields of a section that `parted` gave: the end-to-end ones, and what those for this hop say."""
    known = _sections.get(section)
    if known is not None:
        return known
    lines = _lines(section)
    made = _fields(lines)
    if not isinstance(made, Fault) and len(section) <= _SHORT_SECTION and not _secret(lines):
        if len(_sections) >= _KEPT_SECTIONS:
            _sections.clear()
        _sections[section] = made
    return made


def trailers(section: bytes) -> Headers | Fault:
    """Read a trailer section; fields that frame or route a message have no place in it (RFC 9110, section 6.5.1)."""
    fault = _badly_broken(section)
    if fault is not None:
        return fault
    lines = _lines(section)
    read = _fields(lines)
    if isinstance(read, Fault):
        return read
    names = {line.partition(b":")[0].lower() for line in lines}
    if names & NOT_IN_TRAILERS:
        return Fault(400, "a trailer field belongs into the head")
    return read.headers


def _badly_broken(text: bytes) -> Fault | None:
    breaks = text.count(b"\r\n")
    if text.count(b"\n") != breaks or text.count(b"\r") != breaks:
        return Fault(400, "a line ends without CR LF")
    if breaks > MAX_FIELDS + 2:
        return Fault(431, f"more than {MAX_FIELDS} header fields")
    return None


def _lines(section: bytes) -> list[bytes]:
    return section[:-4].split(b"\r\n") if len(section) > 4 else []


def _secret(lines: list[bytes]) -> bool:
    """Whether there is something of which no copy is kept, even if it is not for the next hop."""
    return any(line.partition(b":")[0].lower() in SECRET for line in lines)


def _fields(lines: list[bytes]) -> Fields | Fault:
    """Read the header fields (RFC 9112, section 5) and take off those that are for this hop."""
    headers: list[tuple[bytes, bytes]] = []
    special: list[tuple[bytes, bytes]] = []
    for line in lines:
        pair = _known.get(line) or _field(line)
        if isinstance(pair, Fault):
            return pair
        if pair[0] in _SPECIAL:
            special.append(pair)
            if pair[0] == b"content-length" or (pair[0] == b"te" and pair[1].lower() == b"trailers"):
                headers.append(pair)
        else:
            headers.append(pair)
    hosts = [text for name, text in special if name == b"host"]
    if len(hosts) > 1 or (hosts and not is_authority(hosts[0])):
        return Fault(400, "the Host header is not one authority")
    framing = _framing(special)
    if isinstance(framing, Fault):
        return framing
    options = frozenset(_tokens(special, b"connection"))
    if options:
        headers = [pair for pair in headers if pair[0] not in options or pair[0] in _SPECIAL]
    upgrade = b", ".join(text for name, text in special if name == b"upgrade") if b"upgrade" in options else b""
    return Fields(
        headers=tuple(headers),
        host=hosts[0] if hosts else None,
        length=framing[0],
        chunked=framing[1],
        options=options,
        upgrade=upgrade,
    )


def _framing(pairs: list[tuple[bytes, bytes]]) -> tuple[int | None, bool] | Fault:
    lengths = [text for name, text in pairs if name == b"content-length"]
    codings = [text for name, text in pairs if name == b"transfer-encoding"]
    if lengths and codings:
        return Fault(400, "Content-Length beside Transfer-Encoding")
    if len(lengths) > 1 or (lengths and LENGTH.fullmatch(lengths[0]) is None):
        return Fault(400, "Content-Length is not one number")
    if codings and codings[0].lower() != b"chunked":
        return Fault(501, "a transfer coding other than chunked")
    if len(codings) > 1:
        return Fault(400, "Transfer-Encoding is said twice")
    return (int(lengths[0]) if lengths else None), bool(codings)


def _tokens(pairs: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [
        token.strip().lower() for field, text in pairs if field == name for token in text.split(b",") if token.strip()
    ]


def _field(line: bytes) -> tuple[bytes, bytes] | Fault:
    found = _FIELD.fullmatch(line)
    if found is None:
        folded = line[:1] in {b" ", b"\t"}
        return Fault(400, "a header line is folded" if folded else "a header line is malformed")
    pair = found[1].lower(), found[2]
    if len(line) <= _SHORT and pair[0] not in SECRET:
        if len(_known) >= _KEPT:
            _known.clear()
        _known[line] = pair
    return pair
