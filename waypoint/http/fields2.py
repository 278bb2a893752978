"""The fields of HTTP/2 messages: pseudo-fields become a head and a head becomes pseudo-fields (RFC 9113, section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from waypoint.http import head
from waypoint.http.events import (
    MAX_FIELDS,
    MAX_HEAD,
    Headers,
    Interim,
    Malformed,
    RequestHead,
    ResponseHead,
    Trailers,
    size,
)
from waypoint.http.head import Fault

Fields = Sequence[tuple[bytes, bytes]]

_OF_REQUESTS: Final = frozenset({b":method", b":scheme", b":path", b":authority"})


def read_request(fields: Fields, *, ends: bool) -> RequestHead | Malformed:
    """The head of a request, or why there is none."""
    parted = _part(fields)
    if isinstance(parted, Fault):
        return Malformed(parted.status, parted.detail)
    pseudo, headers = parted
    method, path, scheme = pseudo.get(b":method"), pseudo.get(b":path"), pseudo.get(b":scheme")
    if method == b"CONNECT":
        return Malformed(405, "CONNECT is not served inside a tunnel")
    if method is None or path is None or not head.is_scheme(scheme or b"") or not pseudo.keys() <= _OF_REQUESTS:
        return Malformed(400, "not the pseudo-header fields of a request")
    authority = _authority(pseudo.get(b":authority", b""), headers)
    if authority is None:
        return Malformed(400, "the host field and :authority differ")
    if not (head.is_method(method) and head.is_path(path, method) and head.is_authority(authority)):
        return Malformed(400, "method, path or authority is malformed")
    return RequestHead(method, authority, path, _passed_on(headers), scheme or b"", ends)


def read_response(fields: Fields, *, ends: bool) -> ResponseHead | Interim | Fault:
    """The head of a response, or why it cannot be passed on."""
    parted = _part(fields)
    if isinstance(parted, Fault):
        return parted
    pseudo, headers = parted
    text = pseudo.get(b":status", b"")
    if len(pseudo) != 1 or len(text) != 3 or not text.isdigit() or text[0] == 0x30:
        return Fault(502, "a response has one :status of three digits and no other pseudo-header field")
    status = int(text)
    if status == 101:
        return Fault(502, "HTTP/2 knows no status 101")
    return Interim(status, headers) if status < 200 else ResponseHead(status, headers, ends)


def read_trailers(fields: Fields) -> Trailers | Fault:
    """The fields after the content."""
    parted = _part(fields)
    if isinstance(parted, Fault):
        return parted
    pseudo, headers = parted
    if pseudo or any(name in head.NOT_IN_TRAILERS for name, _ in headers):
        return Fault(400, "a trailer field belongs into the head")
    return Trailers(headers)


def print_request(request: RequestHead) -> Headers:
    """A request's fields, the pseudo-fields first."""
    pseudo = ((b":method", request.method), (b":scheme", request.scheme), (b":path", request.path))
    if request.authority:
        return (*pseudo, (b":authority", request.authority), *request.headers)
    return (*pseudo, *request.headers)


def print_response(status: int, headers: Headers) -> Headers:
    """A response's fields, the pseudo-field first."""
    return ((b":status", b"%d" % status), *headers)


def _part(fields: Fields) -> tuple[dict[bytes, bytes], Headers] | Fault:
    """The pseudo-fields, each once and in front, and the others, all of them fit to be printed in HTTP/1.1."""
    pseudo: dict[bytes, bytes] = {}
    count = 0
    for name, text in fields:
        if name[:1] != b":":
            break
        if name in pseudo:
            return Fault(400, "a pseudo-header field stands twice")
        pseudo[name] = text
        count += 1
    headers = tuple(fields[count:])
    if len(headers) > MAX_FIELDS or size(headers) > MAX_HEAD:
        return Fault(431, f"the head is larger than {MAX_HEAD} bytes or {MAX_FIELDS} fields")
    return head.checked(headers) or (pseudo, headers)


def _authority(authority: bytes, headers: Headers) -> bytes | None:
    """The authority, for which a host field may stand in; None when they differ."""
    for name, text in headers:
        if name == b"host":
            if authority and text != authority:
                return None
            authority = text
    return authority


def _passed_on(headers: Headers) -> Headers:
    """Without host, and the cookie's crumbs joined to the one line that HTTP/1.1 wants (RFC 9113, section 8.2.3)."""
    crumbs = [text for name, text in headers if name == b"cookie"]
    if len(crumbs) > 1:
        rest = tuple(field for field in headers if field[0] not in {b"cookie", b"host"})
        return (*rest, (b"cookie", b"; ".join(crumbs)))
    if any(name == b"host" for name, _ in headers):
        return tuple(field for field in headers if field[0] != b"host")
    return headers
