"""Service account tokens for tests, and the key that signs them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey


@dataclass(frozen=True)
class Issuer:
    """What a cluster's token issuer is: a key, published as a JWK set."""

    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one"}))

    @property
    def jwks(self) -> str:
        return json.dumps({"keys": [self.key.as_dict(private=False)]})

    def jwt(self, alg: str = "ES256", **claims: Any) -> str:
        """A token of `https://issuer.example` for somebody, with these claims; None takes one away."""
        usual = {"iss": "https://issuer.example", "sub": "somebody"} | claims
        return jwt.encode({"alg": alg, "kid": "one"}, {k: v for k, v in usual.items() if v is not None}, self.key)

    def token(
        self,
        namespace: str,
        account: str,
        *,
        node: str = "",
        audience: str = "istio-ca",
        lifetime: float = 3600,
        **more: Any,
    ) -> str:
        """A token as Kubernetes projects it into a pod of this account on this node."""
        bound: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": account}}
        if node:
            bound |= {"node": {"name": node}, "pod": {"name": f"{account}-1", "uid": "uid-1"}}
        claims = {
            "iss": "https://issuer.example",
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "aud": [audience],
            "exp": int(time.time() + lifetime),
            "kubernetes.io": bound,
        }
        return jwt.encode({"alg": "ES256", "kid": "one"}, claims | more, self.key)
