"""Who is calling: service account tokens, as Kubernetes projects them into pods.

RFC 7519, with the private claims that Kubernetes adds under `kubernetes.io`. A token proves the service account, the
pod and the node that it was made for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

AUDIENCE: Final = "istio-ca"
_ALGORITHMS: Final = ["ES256", "RS256"]
_SUBJECT: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Caller:
    """What a token proves. Pod and node are "" in a token that was not bound to any."""

    namespace: str
    service_account: str
    pod: str = ""
    node: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service_account}" + (f" on node {self.node}" if self.node else "")


def read_keys(text: str) -> KeySet:
    """The keys of a JWK Set (RFC 7517, section 5); ValueError if it is none."""
    try:
        return KeySet.import_key_set(json.loads(text))
    except (JoseError, KeyError, TypeError, AttributeError) as fault:
        raise ValueError(f"not a JWK set: {fault}") from fault


def verify(token: str, keys: KeySet, now: datetime) -> Caller | Refusal:
    """The caller that a token proves, or why it proves nobody."""
    try:
        claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
    except (JoseError, ValueError) as fault:
        return _refused(f"the token cannot be verified: {fault}")
    fault_found = _validity_fault(claims, now.timestamp())
    if fault_found:
        return _refused(fault_found)
    subject = claims.get("sub")
    namespace, colon, account = str(subject).removeprefix(_SUBJECT).partition(":")
    if not isinstance(subject, str) or not subject.startswith(_SUBJECT) or not (namespace and colon and account):
        return _refused(f"the token's subject {subject!r} is no service account")
    bound = claims.get("kubernetes.io")
    return Caller(namespace, account, _bound_name(bound, "pod"), _bound_name(bound, "node"))


def _validity_fault(claims: Mapping[str, Any], now: float) -> str:
    audience, expires, begins = claims.get("aud"), claims.get("exp"), claims.get("nbf", 0)
    if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        return f"the token is for {audience!r}, not for {AUDIENCE!r}"
    if not isinstance(expires, int | float) or expires <= now:
        return "the token has expired" if isinstance(expires, int | float) else "the token never expires"
    if not isinstance(begins, int | float) or begins > now:
        return "the token is not valid yet"
    return ""


def _bound_name(bound: object, kind: str) -> str:
    reference = bound.get(kind) if isinstance(bound, dict) else None
    name = reference.get("name") if isinstance(reference, dict) else None
    return name if isinstance(name, str) else ""


def _refused(detail: str) -> Refusal:
    return Refusal(Reason.WRONG_IDENTITY, detail)
