"""What a route's filters do to a request and to its answer (Gateway API, HTTPRouteFilter). Pure.

A field that frames a message or belongs to one hop is no filter's business: changes to it are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from mesh.balance import Dice
from mesh.route import (
    Cors,
    Filter,
    HeaderModifier,
    Mirror,
    PathChange,
    PathMatch,
    PathMatchKind,
    Redirect,
    RequestHeaders,
    ResponseHeaders,
    Rewrite,
)
from waypoint import cors
from waypoint.http.events import Headers, RequestHead

_NO_FILTERS_BUSINESS: Final = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_WELL_KNOWN: Final = {"http": 80, "https": 443}


def on_request(head: RequestHead, filters: Iterable[Filter], prefix: str) -> RequestHead:
    """The request after these filters, in their order. `prefix` is what ReplacePrefixMatch replaces."""
    for one in filters:
        if isinstance(one, RequestHeaders):
            head = _with_changed_headers(head, one.change)
        elif isinstance(one, Rewrite):
            head = _rewritten(head, one, prefix)
    return head


def on_response(headers: Headers, changes: Iterable[HeaderModifier]) -> Headers:
    """The response's headers after these changes, in their order."""
    for change in changes:
        headers = changed(headers, change)
    return headers


def response_changes(request: RequestHead, filters: Iterable[Filter]) -> tuple[HeaderModifier, ...]:
    """The changes that filters make to the answer to this request, as it came."""
    changes: list[HeaderModifier] = []
    for one in filters:
        if isinstance(one, ResponseHeaders):
            changes.append(one.change)
        elif isinstance(one, Cors):
            changes.append(cors.on_answer(one, request))
    return tuple(changes)


def redirect_of(filters: Iterable[Filter]) -> Redirect | None:
    """The filter that answers in the backend's place, if there is one."""
    return next((one for one in filters if isinstance(one, Redirect)), None)


def mirrors(filters: Iterable[Filter], dice: Dice) -> tuple[Mirror, ...]:
    """The mirrors that get this request."""
    return tuple(one for one in filters if isinstance(one, Mirror) and dice() < one.share)


def covered(match: PathMatch) -> str:
    """The prefix that a match replaces: its value, or nothing where it is no prefix."""
    return match.value if match.kind is PathMatchKind.PREFIX else "/"


def changed(headers: Headers, change: HeaderModifier) -> Headers:
    """Headers after set (overwrites), add (appends a line) and remove. Names are compared without letter case."""
    put = tuple((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in change.set if _may(name))
    add = tuple((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in change.add if _may(name))
    gone = {name for name, _ in put} | {name.lower().encode() for name in change.remove if _may(name)}
    return (*(field for field in headers if field[0] not in gone), *put, *add)


def changed_path(path: bytes, change: PathChange, prefix: str) -> bytes:
    """The path with its query kept, replaced as a whole or where `prefix` covers it.

    Prefixes count element by element: `/foo`, `/foo/` and `/xyz`, `/xyz/` are the same here, and replacing all of a
    path by nothing leaves `/` (the table at HTTPPathModifier).
    """
    old, mark, query = path.decode("latin-1").partition("?")
    return (_replaced(old, change, prefix) + mark + query).encode("latin-1", "replace")


def location(head: RequestHead, redirect: Redirect, prefix: str, port: int) -> bytes:
    """Where a redirect sends the caller.

    The port is the one given; else the well-known one of a scheme that is given; else `port`, at which the service
    was called. It is left out where it is the scheme's well-known one.
    """
    scheme = redirect.scheme or head.scheme.decode("latin-1")
    host = redirect.host or _host(head.authority).decode("latin-1")
    known = _WELL_KNOWN.get(scheme)
    if redirect.port is not None:
        port = redirect.port
    elif redirect.scheme is not None and known is not None:
        port = known
    path = head.path if redirect.path is None else changed_path(head.path, redirect.path, prefix)
    authority = host if port == known else f"{host}:{port}"
    return f"{scheme}://{authority}".encode("latin-1", "replace") + path


def _with_changed_headers(head: RequestHead, change: HeaderModifier) -> RequestHead:
    """Host is a header to a route's author, and the authority to us; it can be set but neither added nor removed."""
    host = next((value for name, value in change.set if name.lower() == "host"), None)
    authority = head.authority if host is None else host.encode("latin-1", "replace")
    return replace(head, headers=changed(head.headers, change), authority=authority)


def _rewritten(head: RequestHead, rewrite: Rewrite, prefix: str) -> RequestHead:
    authority = head.authority if rewrite.host is None else rewrite.host.encode("latin-1", "replace")
    path = head.path if rewrite.path is None else changed_path(head.path, rewrite.path, prefix)
    return replace(head, authority=authority, path=path)


def _replaced(path: str, change: PathChange, prefix: str) -> str:
    if not change.prefix:
        return change.value if change.value.startswith("/") else "/" + change.value
    rest = path[len(prefix.rstrip("/")) :]
    stem = change.value.rstrip("/")
    result = stem + rest
    return result if result.startswith("/") else "/" + result


def _host(authority: bytes) -> bytes:
    if authority.endswith(b"]"):
        return authority
    host, colon, _ = authority.rpartition(b":")
    return host if colon else authority


def _may(name: str) -> bool:
    return name.lower() not in _NO_FILTERS_BUSINESS | {"host"} and not name.startswith(":")
