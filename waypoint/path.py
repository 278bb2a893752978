"""The path of a request in its normal form, so that policies, routes and the backend all judge one text. Pure."""

from __future__ import annotations

import re
from typing import Final

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PLAIN: Final = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?(?:\?.*)?", re.DOTALL)


def normal(target: bytes) -> bytes:
    """A path with its query, the path normalised as Istio does by default (RFC 3986, section 6.2.2, and `\\` as `/`).

    Escaped characters that need no escape are written plainly, other escapes in capitals, and `.` and `..` resolved.
    `//` stays, and so does `%2F`: both are for the application to understand. The query is left alone.
    """
    if _PLAIN.fullmatch(target):
        return target
    path, mark, query = target.partition(b"?")
    plain = _ESCAPE.sub(_unescaped, path).replace(b"\\", b"/")
    return _without_dots(plain) + mark + query


def _unescaped(found: re.Match[bytes]) -> bytes:
    byte = int(found[1], 16)
    return bytes((byte,)) if byte in _UNRESERVED else found[0].upper()


def _without_dots(path: bytes) -> bytes:
    """RFC 3986, section 5.2.4, for a path that begins with `/`."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments and segments[-1] in {b".", b".."}:
        kept.append(b"")
    return b"/" + b"/".join(kept)
