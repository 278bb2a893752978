"""What a browser is told of who may use an answer: the CORS filter (Gateway API, HTTPCORSFilter; Fetch, section 3.2).

The filter speaks for the service: what the backend says of cross-origin use is replaced, and where the origin is not
allowed nothing is said, by which the browser keeps the answer from the page. A preflight is answered here and never
reaches a backend.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mesh.route import Cors, Filter, HeaderModifier
from waypoint.http.events import Headers, RequestHead

_GRANTS: Final = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
)
_SAFELISTED_METHODS: Final = ("GET", "HEAD", "POST")


def cors_of(filters: Iterable[Filter]) -> Cors | None:
    """The CORS filter among filters, if there is one."""
    return next((one for one in filters if isinstance(one, Cors)), None)


def preflight(cors: Cors, request: RequestHead) -> Headers | None:
    """The headers that answer a preflight, none for an origin that is not allowed; None if this is no preflight."""
    asked = _field(request, b"access-control-request-method")
    origin = _field(request, b"origin")
    if request.method != b"OPTIONS" or not asked or not origin:
        return None
    fields = dict(_grants(cors, origin))
    if fields:
        headers = _field(request, b"access-control-request-headers")
        fields["access-control-allow-methods"] = _all(cors, cors.methods, asked) or ", ".join(_SAFELISTED_METHODS)
        if allowed := _all(cors, cors.headers, headers):
            fields["access-control-allow-headers"] = allowed
        fields["access-control-max-age"] = str(cors.max_age)
        fields.pop("access-control-expose-headers", None)
    return tuple((name.encode(), value.encode("latin-1", "replace")) for name, value in fields.items())


def on_answer(cors: Cors, request: RequestHead) -> HeaderModifier:
    """The change to the answer of a request that is no preflight."""
    origin = _field(request, b"origin")
    granted = tuple(_grants(cors, origin).items()) if origin else ()
    replaced = tuple(field for field in granted if field[0] != "vary")
    return HeaderModifier(set=replaced, add=tuple(field for field in granted if field[0] == "vary"), remove=_GRANTS)


def allows(origin: str, allowed: str) -> bool:
    """Whether an origin is one of those that an entry of the filter means. A `*` reaches over any number of labels."""
    if allowed == "*":
        return True
    scheme, host, port = _parts(origin.lower())
    wanted_scheme, wanted_host, wanted_port = _parts(allowed.lower())
    if scheme != wanted_scheme or port != wanted_port:
        return False
    if wanted_host == "*":
        return bool(host)
    if wanted_host.startswith("*."):
        return host.endswith(wanted_host[1:]) and len(host) > len(wanted_host) - 1
    return host == wanted_host


def _grants(cors: Cors, origin: str) -> dict[str, str]:
    """What every answer to an allowed origin says; nothing to others."""
    if not any(allows(origin, one) for one in cors.origins):
        return {}
    anybody = "*" in cors.origins and not cors.credentials
    fields = {"access-control-allow-origin": "*" if anybody else origin}
    if not anybody:
        fields["vary"] = "Origin"
    if cors.credentials:
        fields["access-control-allow-credentials"] = "true"
    if cors.exposed and not (cors.credentials and "*" in cors.exposed):
        fields["access-control-expose-headers"] = ", ".join(cors.exposed)
    return fields


def _all(cors: Cors, values: tuple[str, ...], asked: str) -> str:
    """The list of what is allowed; a `*` is what was asked for where credentials make the star a mere name."""
    if "*" in values:
        return asked if cors.credentials else "*"
    return ", ".join(values)


def _parts(origin: str) -> tuple[str, str, str]:
    """Scheme, host and port; the scheme's own port is none (RFC 6454, section 4)."""
    scheme, _, authority = origin.partition("://")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
    return scheme, host, "" if (scheme, port) in {("http", "80"), ("https", "443")} else port


def _field(request: RequestHead, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in request.headers if key == name), "")
