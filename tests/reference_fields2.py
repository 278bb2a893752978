"""For the reference: the fields of HTTP/2 messages as h2 gives them become heads, and heads become fields."""

from __future__ import annotations

from collections.abc import Iterable

from h2.events import DataReceived, InformationalResponseReceived, ResponseReceived, TrailersReceived

from waypoint.http import head
from waypoint.http.events import (
    MAX_FIELDS,
    MAX_HEAD,
    Body,
    Headers,
    Interim,
    Malformed,
    RequestHead,
    ResponseHead,
    Trailers,
    size,
)
from waypoint.http.head import Fault

Fields = Iterable[tuple[bytes, bytes]]


def read_request(fields: Fields, *, ends: bool) -> RequestHead | Malformed:
    """The head of a request, or why there is none. h2 has seen to it that the pseudo-fields are there and first."""
    pseudo, headers = _split(fields)
    hosts = {text for name, text in headers if name == b"host"}
    authority = pseudo.get(b":authority", b"")
    method, path = pseudo[b":method"], pseudo.get(b":path", b"")
    if size(headers) > MAX_HEAD or len(headers) > MAX_FIELDS:
        return Malformed(431, f"the head is larger than {MAX_HEAD} bytes or {MAX_FIELDS} fields")
    if method == b"CONNECT":
        return Malformed(405, "CONNECT is not served inside a tunnel")
    if len(hosts | ({authority} - {b""})) > 1:
        return Malformed(400, "the host field and :authority differ")
    authority = authority or next(iter(hosts), b"")
    if not (head.is_method(method) and head.is_path(path, method) and head.is_authority(authority)):
        return Malformed(400, "method, path or authority is malformed")
    headers = tuple(field for field in headers if field[0] != b"host")
    fault = head.checked(headers)
    if fault is not None:
        return Malformed(fault.status, fault.detail)
    return RequestHead(method, authority, path, _one_cookie(headers), pseudo.get(b":scheme", b"http"), ends)


Message = DataReceived | ResponseReceived | InformationalResponseReceived | TrailersReceived


def read(event: Message) -> Body | Interim | ResponseHead | Trailers | Fault:
    """What one of h2's events means, those of the message's ends apart."""
    match event:
        case DataReceived():
            return Body(bytes(event.data), event.flow_controlled_length)
        case ResponseReceived():
            return read_response(event.headers, ends=event.stream_ended is not None)
        case InformationalResponseReceived():
            return read_interim(event.headers)
        case TrailersReceived():
            return read_trailers(event.headers)


def read_response(fields: Fields, *, ends: bool) -> ResponseHead | Fault:
    """The head of a final response, or why it cannot be passed on."""
    pseudo, headers = _split(fields)
    return head.checked(headers) or ResponseHead(_status(pseudo), headers, ends)


def read_interim(fields: Fields) -> Interim | Fault:
    """The head of a response of class 1xx."""
    pseudo, headers = _split(fields)
    if _status(pseudo) == 101:
        return Fault(502, "HTTP/2 knows no status 101")
    return head.checked(headers) or Interim(_status(pseudo), headers)


def read_trailers(fields: Fields) -> Trailers | Fault:
    """The fields after the content."""
    headers = tuple((bytes(name), bytes(text)) for name, text in fields)
    if any(name in head.NOT_IN_TRAILERS for name, _ in headers):
        return Fault(400, "a trailer field belongs into the head")
    return head.checked(headers) or Trailers(headers)


def print_request(request: RequestHead) -> list[tuple[bytes, bytes]]:
    """A request's fields, the pseudo-fields first."""
    pseudo = [(b":method", request.method), (b":scheme", request.scheme), (b":path", request.path)]
    if request.authority:
        pseudo.append((b":authority", request.authority))
    return [*pseudo, *request.headers]


def print_response(status: int, headers: Headers) -> list[tuple[bytes, bytes]]:
    """A response's fields, the pseudo-field first."""
    return [(b":status", b"%d" % status), *headers]


def _split(fields: Fields) -> tuple[dict[bytes, bytes], Headers]:
    pairs = [(bytes(name), bytes(text)) for name, text in fields]
    pseudo = {name: text for name, text in pairs if name.startswith(b":")}
    return pseudo, tuple(pair for pair in pairs if not pair[0].startswith(b":"))


def _status(pseudo: dict[bytes, bytes]) -> int:
    return int(pseudo[b":status"])


def _one_cookie(headers: Headers) -> Headers:
    """The cookie's crumbs joined to the one line that HTTP/1.1 wants (RFC 9113, section 8.2.3)."""
    crumbs = [text for name, text in headers if name == b"cookie"]
    if len(crumbs) < 2:
        return headers
    return (*(field for field in headers if field[0] != b"cookie"), (b"cookie", b"; ".join(crumbs)))
