"""What a token proves (RFC 7519 in the compact form of RFC 7515). Pure; the time is handed in.

Believed is only what is signed with a private key that nobody but the issuer has. `none` and the algorithms of a shared
secret are refused whatever the keys are: with them, anybody who knows the public key could forge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf, isfinite
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

from mesh.authentication import JwtRule
from mesh.jwks import keys_of

LEEWAY: Final = 60.0
"""Seconds by which an issuer's clock and ours may differ."""
LONGEST: Final = 16 * 1024
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
_SPACED: Final = ("scope", "permission")


class Fault(Enum):
    """Why a token is not valid, in words that tell its bearer nothing new."""

    FORM = "Jwt is not in the form of Header.Payload.Signature"
    ISSUER = "Jwt issuer is not configured"
    ALGORITHM = "Jwt header [alg] is not supported"
    KEYS = "Jwks of the issuer are not available"
    SIGNATURE = "Jwt verification fails"
    EXPIRED = "Jwt is expired"
    EARLY = "Jwt not yet valid"
    AUDIENCE = "Audiences in Jwt are not allowed"


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """A valid token."""

    issuer: str
    subject: str
    claims: Mapping[str, Any]
    payload: str
    """The claims as the token has them: base64url of JSON."""
    rule: JwtRule
    """By which it is valid."""
    expires: float
    """When it ceases to be, leeway included, in seconds since the epoch; infinity if never."""

    @property
    def principal(self) -> str:
        """Who it is by the issuer's word: `issuer/subject`; "" if the token names no subject."""
        return f"{self.issuer}/{self.subject}" if self.issuer and self.subject else ""

    def texts(self, claim: Sequence[str]) -> tuple[str, ...]:
        """The values of a claim, of nested ones by their path: its text, number or truth, or those of its list."""
        found: Any = self.claims
        for name in claim:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, str) and len(claim) == 1 and claim[0] in (*_SPACED, *self.rule.spaced):
            return tuple(found.split())
        return tuple(_texts(found if isinstance(found, list) else [found]))


def verify(rule: JwtRule, text: str, now: float) -> Token | Fault:
    """The token, if it is valid by this rule at this time (seconds since the epoch)."""
    form = _FORM.fullmatch(text) if len(text) <= LONGEST else None
    if form is None:
        return Fault.FORM
    try:
        signed = jws.extract_compact(text.encode(), registry=_REGISTRY)
        claims = json.loads(signed.payload)
        header = signed.headers()
    except (JoseError, ValueError, TypeError, RecursionError):
        return Fault.FORM
    if not isinstance(claims, dict):
        return Fault.FORM
    if claims.get("iss") != rule.issuer:
        return Fault.ISSUER
    if header.get("alg") not in _ALGORITHMS or "crit" in header:
        return Fault.ALGORITHM
    fault = _untimely(claims, now) or _unsigned(rule, signed)
    if fault is None and rule.audiences and not set(rule.audiences) & set(_audiences(claims)):
        fault = Fault.AUDIENCE
    subject, end = claims.get("sub"), claims.get("exp")
    return fault or Token(
        rule.issuer,
        subject if isinstance(subject, str) else "",
        claims,
        form[1],
        rule,
        inf if end is None else end + LEEWAY,
    )


def _untimely(claims: Mapping[str, Any], now: float) -> Fault | None:
    begin, end = claims.get("nbf"), claims.get("exp")
    if not all(one is None or _is_time(one) for one in (begin, end)):
        return Fault.FORM
    if end is not None and now >= end + LEEWAY:
        return Fault.EXPIRED
    return Fault.EARLY if begin is not None and now < begin - LEEWAY else None


def _is_time(value: object) -> bool:
    """Whether it is a NumericDate (RFC 7519, section 2) that a clock can show."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and isfinite(value)


def _unsigned(rule: JwtRule, signed: jws.CompactSignature) -> Fault | None:
    keys = keys_of(rule.keys)
    if not keys:
        return Fault.KEYS
    kid = signed.headers().get("kid")
    likely = (key for key in keys if kid is None or key.kid is None or key.kid == kid)
    return None if any(_signed_by(key, signed) for key in likely) else Fault.SIGNATURE


def _signed_by(key: Key, signed: jws.CompactSignature) -> bool:
    try:
        return jws.validate_compact(signed, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    found = claims.get("aud")
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str)]


def _texts(values: Sequence[object]) -> Iterator[str]:
    for one in values:
        if isinstance(one, bool):
            yield "true" if one else "false"
        elif isinstance(one, str | int | float):
            yield str(one)


class _Registry(jws.JWSRegistry):
    """Takes the certificates and private fields that some issuers put into a header; nobody looks at them."""

    max_header_length = LONGEST


_REGISTRY: Final = _Registry(algorithms=_ALGORITHMS, strict_check_header=False)
