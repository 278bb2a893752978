"""A request as it is judged: by everybody behind this point alike, and by policies. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mesh.token import Token
from mesh.verdict import HttpCall
from waypoint.authentication import Identified
from waypoint.http.events import RequestHead
from waypoint.path import normal

_NEVER_FROM_A_CALLER: Final = frozenset({b"x-forwarded-client-cert"})
"""Fields by which a backend might take a caller for somebody else."""


def admitted(request: RequestHead) -> RequestHead:
    """The request as everybody behind this point sees it: its path in normal form, without fields to be forged."""
    path = normal(request.path)
    headers = request.headers
    for name, _ in headers:
        if name in _NEVER_FROM_A_CALLER:
            headers = tuple(pair for pair in headers if pair[0] not in _NEVER_FROM_A_CALLER)
            break
    if path == request.path and headers is request.headers:
        return request
    return replace(request, path=path, headers=headers)


def http_call(known: Identified, headers: frozenset[str], claims: frozenset[tuple[str, ...]]) -> HttpCall:
    """A request as policies that ask for these headers and claims look at it."""
    request, token = known.request, known.token
    return HttpCall(
        _text(request.method),
        _text(request.path.partition(b"?")[0]),
        _text(request.authority),
        _asked_headers(request, headers) if headers else (),
        token.principal if token is not None else "",
        _asked_claims(token, claims) if claims and token is not None else (),
    )


def _asked_headers(request: RequestHead, asked: frozenset[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for raw, value in request.headers:
        name = _text(raw)
        if name in asked:
            found[name] = f"{found[name]},{_text(value)}" if name in found else _text(value)
    return tuple(sorted(found.items()))


def _asked_claims(
    token: Token, asked: frozenset[tuple[str, ...]]
) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    return tuple((path, values) for path in sorted(asked) if (values := token.texts(path)))


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
