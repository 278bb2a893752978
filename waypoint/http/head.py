"""The head of an HTTP/1.1 message as text (RFC 9112, sections 2 to 4), read strictly; its fields are in `section`.

Two parties who read one text differently are how requests are smuggled. So nothing here is tolerant: a bare LF or CR,
a folded line, white space around a field name, a length said twice or beside a transfer coding are all refused, from
callers (400) and from backends (502) alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from waypoint.http.events import Headers

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_VISIBLE: Final = rb"[\x21-\x7e\x80-\xff]"
VALUE: Final = rb"(?:" + _VISIBLE + rb"(?:[\t\x20-\x7e\x80-\xff]*" + _VISIBLE + rb")?)?"
_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_PATH: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_TEXT: Final = re.compile(VALUE)
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,31}")
LENGTH: Final = re.compile(rb"[0-9]{1,18}")

ONE_HOP: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Fields for this hop alone."""
SECRET: Final = frozenset({b"authorization", b"cookie", b"set-cookie", b"proxy-authorization"})
"""Fields of which no copy is kept."""
NOT_IN_TRAILERS: Final = frozenset({b"content-length", b"transfer-encoding", b"host", b"connection"})

_SHORT: Final = 64
_SHOWN: Final = 64
_KEPT: Final = 4096
_passed: Final[set[tuple[bytes, bytes]]] = set()
"""Short fields that were found good lately: most heads say again what others said."""

REASONS: Final = {one.value: one.phrase.encode() for one in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text is no HTTP/1.1 message, and the status that a caller gets for it."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class RequestLine:
    """Method, target and version; `authority` is what an absolute-form target names, else None."""

    method: bytes
    path: bytes
    authority: bytes | None
    minor: int


@dataclass(frozen=True, slots=True)
class StatusLine:
    """Version and status."""

    status: int
    minor: int


def request_line(line: bytes) -> RequestLine | Fault:
    """Read the first line of a request (RFC 9112, section 3)."""
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        return Fault(400, "the request line is malformed")
    method, target, major, minor = found.groups()
    if major != b"1":
        return Fault(505, "an HTTP/1 connection carries HTTP/1.0 and HTTP/1.1 only")
    if method == b"CONNECT":
        return Fault(405, "CONNECT is not served inside a tunnel")
    return _target(method, target, int(minor))


def status_line(line: bytes) -> StatusLine | Fault:
    """Read the first line of a response (RFC 9112, section 4)."""
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        return Fault(502, "the status line is malformed")
    return StatusLine(int(found[2]), int(found[1]))


def checked(headers: Headers) -> Fault | None:
    """What forbids printing fields that HTTP/2 carried, where a name or value may hold any byte.

    Printed unchecked they could end a line and begin a request of their own (RFC 9113, sections 8.2.1 and 10.3).
    """
    lengths = 0
    for field in headers:
        if field in _passed:
            continue
        name, text = field
        if _NAME.fullmatch(name) is None:
            return Fault(400, f"the name of header field {_shown(name)} has a forbidden character")
        if _TEXT.fullmatch(text) is None:
            return Fault(400, f"the value of header field {_shown(name)} has a forbidden character")
        if name in ONE_HOP or (name == b"te" and text.lower() != b"trailers"):
            return Fault(400, f"{name.decode()} has no meaning in HTTP/2")
        if name == b"content-length":
            lengths += 1
            if lengths > 1 or LENGTH.fullmatch(text) is None:
                return Fault(400, "Content-Length is not one number")
        elif len(text) <= _SHORT and name not in SECRET:
            if len(_passed) >= _KEPT:
                _passed.clear()
            _passed.add(field)
    return None


def _shown(name: bytes) -> str:
    """A name that may hold any byte, for people to read."""
    return ascii(name[:_SHOWN])[2:-1]


def is_field_name(name: bytes) -> bool:
    """Whether this can stand as a field's name, in lower case."""
    return _NAME.fullmatch(name) is not None


def is_field_text(text: bytes) -> bool:
    """Whether this can stand as a field's value."""
    return _TEXT.fullmatch(text) is not None


def is_scheme(text: bytes) -> bool:
    """Whether this can stand as a URI's scheme (RFC 3986, section 3.1)."""
    return text in {b"http", b"https"} or _SCHEME.fullmatch(text) is not None


def is_method(text: bytes) -> bool:
    """Whether this can stand as a method."""
    return re.fullmatch(TOKEN, text) is not None


def is_path(text: bytes, method: bytes) -> bool:
    """Whether this is a target in origin form, or `*` for OPTIONS."""
    return _PATH.fullmatch(text) is not None or (text == b"*" and method == b"OPTIONS")


def is_authority(text: bytes) -> bool:
    """Whether a Host value or a URI's authority is host[:port] without user information."""
    return len(text) <= 512 and _AUTHORITY.fullmatch(text) is not None


def print_request(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bytes:
    """The head of a request, with its empty line."""
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b" % (method, path, authority, print_fields(headers))


def print_response(status: int, headers: Headers) -> bytes:
    """The head of a response, with its empty line."""
    return b"HTTP/1.1 %d %b\r\n%b" % (status, REASONS.get(status, b""), print_fields(headers))


def print_fields(headers: Headers) -> bytes:
    """Header lines and the empty line after them."""
    return b"".join([b"%b: %b\r\n" % field for field in headers]) + b"\r\n"


def _target(method: bytes, target: bytes, minor: int) -> RequestLine | Fault:
    if is_path(target, method):
        return RequestLine(method, target, None, minor)
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or not is_authority(absolute[1]):
        return Fault(400, "the request target is neither a path nor an http URI")
    path = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    if not is_path(path, method):
        return Fault(400, "the request target has a fragment")
    return RequestLine(method, path, absolute[1], minor)
