"""Service account tokens, shaped like those that Kubernetes projects into pods."""

from __future__ import annotations

import json
from dataclasses import dataclass

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Bearer:
    """For whom a token speaks: a service account, and the pod and node it was given to."""

    namespace: str
    service_account: str
    pod: str
    pod_uid: str
    node: str


class TokenIssuer:
    """Signs tokens with the lab's key, which lives in the daemon's memory and nowhere else."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})

    def jwks(self) -> str:
        """Return the public key, as istiod reads it."""
        return json.dumps(KeySet([self._key]).as_dict(private=False))

    def issue(self, bearer: Bearer, audience: str, now: int, seconds: int) -> str:
        """Return a token that is good from `now`, in seconds since 1970, for `seconds`."""
        claims = {
            "iss": ISSUER,
            "sub": f"system:serviceaccount:{bearer.namespace}:{bearer.service_account}",
            "aud": [audience or ISSUER],
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "kubernetes.io": {
                "namespace": bearer.namespace,
                "serviceaccount": {"name": bearer.service_account},
                "pod": {"name": bearer.pod, "uid": bearer.pod_uid},
                "node": {"name": bearer.node},
            },
        }
        return jwt.encode({"alg": "ES256", "typ": "JWT", "kid": self._key.kid}, claims, self._key)
