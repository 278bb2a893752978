"""What a caller's first bytes say about the protocol. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What every HTTP/2 client says first (RFC 9113, section 3.4)."""

_BEGINS: Final = re.compile(rb"[A-Z]{3,20} [/*hH]")
_MAY_BEGIN: Final = re.compile(rb"[A-Z]{0,20} ?")
_LINE: Final = re.compile(rb"[A-Z]{3,20} [^\r\n]* HTTP/1\.[01]\r?\n")
_LONGEST_LINE: Final = 8192


class Sniffed(Enum):
    """The verdict."""

    HTTP1 = "http1"
    HTTP2 = "http2"
    OPAQUE = "opaque"
    UNDECIDED = "undecided"


def version(first: bytes) -> Sniffed:
    """Which HTTP it is, where the port is declared to speak HTTP: what is not HTTP/2 is HTTP/1.1, good or bad."""
    if first.startswith(PREFACE):
        return Sniffed.HTTP2
    return Sniffed.UNDECIDED if PREFACE.startswith(first) else Sniffed.HTTP1


def protocol(first: bytes) -> Sniffed:
    """What it is where nothing is declared. HTTP/1.1 shows by its whole first line, nothing less."""
    if first.startswith(PREFACE):
        return Sniffed.HTTP2
    if PREFACE.startswith(first):
        return Sniffed.UNDECIDED
    if _BEGINS.match(first) is None:
        return Sniffed.UNDECIDED if _MAY_BEGIN.fullmatch(first) else Sniffed.OPAQUE
    if b"\n" in first:
        return Sniffed.HTTP1 if _LINE.match(first) else Sniffed.OPAQUE
    return Sniffed.UNDECIDED if len(first) <= _LONGEST_LINE else Sniffed.HTTP1
