"""Tokens in a lab: a RequestAuthentication applied, kept to by the waypoint, and told of in its status and its log."""

from __future__ import annotations

import pytest

from tests.lab_for_tests import Lab, MakeLab
from tests.netns.waypoint.test_waypoint_in_lab import SHOP, curl, status
from tests.tokens_for_tests import Issuer

pytestmark = pytest.mark.netns

DEMAND = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  jwtRules: [{issuer: https://issuer.example, jwks: 'JWKS'}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  rules:
  - from: [{source: {requestPrincipals: ["https://issuer.example/*"]}}]
    when: [{key: "request.auth.claims[groups]", values: [buyers]}]
"""


def accepted(there: Lab) -> str:
    [found] = there.get("requestauthentications", "shop", "web")
    conditions = found.get("status", {}).get("conditions", [])
    return str(conditions[0]["reason"]) if conditions else ""


def shown(there: Lab, token: str) -> str:
    return curl(
        there, "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}", "http://web/"
    ).strip()


def test_a_service_lets_in_who_shows_a_token_that_is_good(lab: MakeLab) -> None:
    there, issuer = lab(SHOP), Issuer()
    there.meshctl("waypoint", "create", "-n", "shop", "--enroll-namespace", "--wait", seconds=100)
    there.wait(lambda: status(there, "http://web/") == "200", "an answer through the waypoint")

    there.apply(DEMAND.replace("JWKS", issuer.jwks))
    there.wait(lambda: accepted(there) == "Accepted", "the status")
    there.wait(lambda: status(there, "http://web/") == "403", "no way in without a token")
    assert shown(there, issuer.jwt(groups=["buyers"])) == "200"
    assert shown(there, issuer.jwt(groups=["sellers"])) == "403"
    assert shown(there, Issuer().jwt(groups=["buyers"])) == "401"

    there.delete("requestauthentication", "web", "shop")
    there.wait(lambda: shown(there, issuer.jwt(groups=["buyers"])) == "403", "a token that nobody verifies is none")
