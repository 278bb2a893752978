"""istiod-lite as a process: keys that an issuer publishes reach the waypoint, or people are told."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

from tests.driver.test_issuers import site
from tests.istiod_for_tests import Istiod, running, wait_until
from tests.tokens_for_tests import Issuer
from tests.unit.istiod_lite.test_statuses import GATEWAY, NAMESPACE, SERVICES, WAYPOINT_POD, WAYPOINT_SERVICE

pytestmark = pytest.mark.interop

WORLD = "\n---\n".join(map(textwrap.dedent, (NAMESPACE, SERVICES, GATEWAY, WAYPOINT_SERVICE, WAYPOINT_POD)))


def authentication(uri: str) -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: cart, namespace: shop}}
spec:
  targetRefs: [{{group: "", kind: Service, name: cart}}]
  jwtRules: [{{issuer: https://issuer.example, jwksUri: "{uri}"}}]
"""


def reason(istiod: Istiod) -> str:
    path = istiod.status / "RequestAuthentication_shop_cart.yaml"
    if not path.exists():
        return ""
    [condition] = yaml.safe_load(path.read_text())["status"]["conditions"]
    return str(condition["reason"])


def test_keys_come_from_where_the_issuer_publishes_them(tmp_path: Path) -> None:
    issuer = Issuer()
    with (
        site(body=issuer.jwks) as it,
        running(tmp_path, "--jwks-network", "127.0.0.0/8", world=WORLD, jwt=authentication(it.uri())) as istiod,
    ):
        wait_until(lambda: reason(istiod) == "Accepted", "the keys are there")
        assert "the keys at" in istiod.log


def test_cve_2026_41413_a_manifest_does_not_make_istiod_call_itself(tmp_path: Path) -> None:
    with site(body="secret") as it, running(tmp_path, world=WORLD, jwt=authentication(it.uri())) as istiod:
        wait_until(lambda: "from where nothing is fetched" in istiod.log, "the refusal in the log")
        wait_until(lambda: reason(istiod) == "KeysNotFetched", "the status")
        status = (istiod.status / "RequestAuthentication_shop_cart.yaml").read_text()
    assert it.asked == []
    assert "127.0.0.1" not in status
