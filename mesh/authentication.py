"""Whose tokens are believed: request authentications, as `security.istio.io` has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mesh.policy import Target


class Place(Enum):
    """The part of a request in which a token may stand."""

    HEADER = "header"
    PARAMETER = "parameter"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a token is looked for: in which header (by its name in lower case), parameter of the query or cookie."""

    place: Place
    name: str
    prefix: str = ""
    """What a header's value begins with; others carry no token."""


@dataclass(frozen=True, slots=True)
class ClaimHeader:
    """A header of the request, its name in lower case, that a backend is told a claim in."""

    header: str
    claim: tuple[str, ...]
    """The claim's name; those after the first lead into nested ones."""


@dataclass(frozen=True, slots=True)
class JwtRule:
    """The tokens of one issuer (RFC 7519)."""

    issuer: str
    keys: str = ""
    """Its public keys as a JWK Set (RFC 7517); "" if they are not known, and then no token of its is valid."""
    audiences: tuple[str, ...] = ()
    """A token must be for one of them; none means any."""
    sources: tuple[TokenSource, ...] = ()
    forward: bool = False
    """Whether the backend gets to see the token."""
    payload_header: str = ""
    """The header in which a backend is told all claims: their JSON in base64url; "" is none."""
    claim_headers: tuple[ClaimHeader, ...] = ()
    spaced: tuple[str, ...] = ()
    """The claims that are lists with spaces between their entries."""


@dataclass(frozen=True, slots=True)
class RequestAuthentication:
    """What holds for the requests to its targets: a token that a rule looks at must be valid by a rule."""

    name: str
    namespace: str
    rules: tuple[JwtRule, ...] = ()
    targets: tuple[Target, ...] = ()

    @property
    def key(self) -> str:
        """Its name in a snapshot: `namespace/name`."""
        return f"{self.namespace}/{self.name}"
