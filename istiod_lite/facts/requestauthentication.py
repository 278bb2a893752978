"""RequestAuthentications, by Istio's API (security.istio.io, Request Authentication): whose tokens are believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from istiod_lite.facts.authorizationpolicy import TargetRef, read_targets, read_workload_selector
from istiod_lite.facts.field import HEADER_NAME, SOME_TEXT, Shape
from istiod_lite.facts.metadata import Metadata, read_metadata
from mesh.authentication import ClaimHeader, JwtRule, Place, TokenSource
from mesh.jwks import public_jwks

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

_RULE: Final = (
    "issuer", "audiences", "jwks", "jwksUri", "fromHeaders", "fromParams", "fromCookies", "outputPayloadToHeader",
    "outputClaimToHeaders", "forwardOriginalToken", "spaceDelimitedClaims",
)  # fmt: skip
_VISIBLE: Final = re.compile(r"[!-~]+")
_BEARER: Final = "Bearer "
_USUAL: Final = (
    TokenSource(Place.HEADER, "authorization", _BEARER),
    TokenSource(Place.PARAMETER, "access_token"),
)
_PARAMETER: Final = Shape(
    re.compile(r"[A-Za-z0-9._~-]+"), 256, "a name of letters, digits, '-', '.', '_' and '~', which needs no escapes"
)
_NOT_TO_BE_SET: Final = frozenset(
    {
        "authorization", "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te",
        "trailer", "transfer-encoding", "upgrade", "x-forwarded-client-cert",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JwtFact:
    """One of its rules: all but the keys where these are to be fetched from `uri`."""

    rule: JwtRule
    uri: str = ""


@dataclass(frozen=True, slots=True)
class RequestAuthentication:
    """A security.istio.io RequestAuthentication; `selector` is None where it has none."""

    meta: Metadata
    selector: tuple[tuple[str, str], ...] | None
    targets: tuple[TargetRef, ...]
    rules: tuple[JwtFact, ...]
    fault: str = ""
    """Why the object could not be read, if this is what stands in for it."""


NOBODY: Final = JwtFact(JwtRule("", sources=_USUAL))
"""The rule by which no token is valid."""


def read_request_authentication(obj: Object, root: Field) -> RequestAuthentication:
    """Read a RequestAuthentication."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("jwtRules", "selector", "targetRef", "targetRefs")
    targets = read_targets(spec, obj.namespace)
    if targets and spec["selector"].given:
        spec["selector"].fault("there is a selector or targetRefs, not both", "take one of them away")
    return RequestAuthentication(
        read_metadata(obj, root),
        read_workload_selector(spec["selector"]),
        targets,
        tuple(_read_rule(one) for one in spec["jwtRules"].each(64)),
    )


def _read_rule(at: Field) -> JwtFact:
    at.knows(*_RULE)
    at["issuer"].required()
    if at["jwks"].given == at["jwksUri"].given:
        at["jwks"].fault("the issuer's keys are given by one of jwks and jwksUri", "write exactly one of them")
    payload = at["outputPayloadToHeader"]
    rule = JwtRule(
        issuer=at["issuer"].text(shape=SOME_TEXT) if at["issuer"].given else "",
        keys=_read_keys(at["jwks"]) if at["jwks"].given else "",
        audiences=at["audiences"].texts(SOME_TEXT, 64),
        sources=_read_sources(at) or _USUAL,
        forward=at["forwardOriginalToken"].boolean(),
        payload_header=_read_header(payload) if payload.given else "",
        claim_headers=tuple(_read_claim_header(one) for one in at["outputClaimToHeaders"].each(64)),
        spaced=at["spaceDelimitedClaims"].texts(SOME_TEXT, 64),
    )
    return JwtFact(rule, _read_uri(at["jwksUri"]) if at["jwksUri"].given else "")


def _read_sources(at: Field) -> tuple[TokenSource, ...]:
    headers = (_read_from_header(one) for one in at["fromHeaders"].each(16))
    parameters = (TokenSource(Place.PARAMETER, name) for name in at["fromParams"].texts(_PARAMETER, 16))
    cookies = (TokenSource(Place.COOKIE, name) for name in at["fromCookies"].texts(HEADER_NAME, 16))
    return (*headers, *parameters, *cookies)


def _read_from_header(at: Field) -> TokenSource:
    at.knows("name", "prefix")
    at["name"].required()
    name = at["name"].text(shape=HEADER_NAME) if at["name"].given else ""
    return TokenSource(Place.HEADER, name.lower(), at["prefix"].text())


def _read_claim_header(at: Field) -> ClaimHeader:
    at.knows("header", "claim")
    for name in ("header", "claim"):
        at[name].required()
    claim = at["claim"].text(shape=SOME_TEXT) if at["claim"].given else ""
    return ClaimHeader(_read_header(at["header"]) if at["header"].given else "", tuple(claim.split(".")))


def _read_header(at: Field) -> str:
    """A header that the waypoint is to write."""
    name = at.text(shape=HEADER_NAME).lower()
    if name in _NOT_TO_BE_SET:
        at.fault(f"{name} means something of its own to backends", "write a header of your own, such as x-jwt-payload")
    return name


def _read_keys(at: Field) -> str:
    try:
        return public_jwks(at.text())
    except ValueError as fault:
        at.fault(str(fault), "paste what the issuer publishes at its jwks_uri")
        return ""


def _read_uri(at: Field) -> str:
    """An address of which the control plane may fetch keys; nobody may read on the way, and no secret is sent."""
    text = at.text(shape=SOME_TEXT)
    try:
        uri = urlsplit(text)
        usable = uri.scheme in {"http", "https"} and bool(uri.hostname) and uri.port != 0
    except ValueError:
        usable = False
    if not usable or uri.username is not None or uri.fragment or not _VISIBLE.fullmatch(text):
        at.fault(f"{text!r} is not an address to fetch keys from", "write it like https://issuer.example/jwks.json")
        return ""
    return text
