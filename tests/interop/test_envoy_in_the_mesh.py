"""A real Envoy takes our parts' places in a mesh that runs: as HBONE client before a worker and a waypoint, as server.

Its certificates are istiod's, got over the CA API with its pod's token; forged ones show what is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.envoy_scene import (
    CLIENT,
    ELSEWHERE,
    ENVOY,
    OTHER_DOMAIN_TO_ECHO,
    OTHER_DOMAIN_TO_WEB,
    OTHER_ROOT_TO_ECHO,
    PARTNER,
    TO_ECHO,
    TO_WEB,
    Scene,
    bring_up,
)
from tests.lab_for_tests import new_lab

pytestmark = [pytest.mark.interop, pytest.mark.netns]

MUCH = 64
"""MiB each way: thousands of Envoy's frames of 16 KiB, and many times every window."""
COUNTED = f"bytes_sent={MUCH << 20} bytes_recv={MUCH << 20}"
WEB = f"http://127.0.0.1:{TO_WEB}"

DENY_ENVOY = f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: not-envoy, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: echo}}}}
  action: DENY
  rules: [{{from: [{{source: {{principals: ["{str(ENVOY).removeprefix("spiffe://")}"]}}}}]}}]
"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="ambit-") as folder:
        papers = Path(folder) / "papers"
        papers.mkdir()
        lab = new_lab(Path(folder))
        try:
            yield bring_up(lab, papers)
        finally:
            lab.meshctl("lab", "down", lab.name, code=None)


def test_envoy_calls_a_pod_behind_our_worker(scene: Scene) -> None:
    assert scene.through_envoy(TO_ECHO, MUCH)
    caller = f'src.identity="{ENVOY}"'
    scene.lab.wait(lambda: scene.access("node-2", caller, "connection complete", COUNTED), "the end in the log")
    [line] = scene.access("node-2", caller, "connection complete", COUNTED)
    assert 'src.workload="envoy"' in line
    assert 'dst.workload="echo"' in line
    assert 'direction="inbound"' in line


def test_a_policy_keeps_envoys_identity_out_and_no_other(scene: Scene) -> None:
    assert scene.through_envoy(TO_ECHO)
    scene.lab.apply(DENY_ENVOY)
    try:
        scene.lab.wait(lambda: not scene.through_envoy(TO_ECHO), "the denial")
        scene.lab.wait(lambda: '{"key":":status","value":"401"}' in scene.envoys_log(), "Envoy's word of the answer")
        scene.lab.wait(lambda: scene.access("node-2", 'reason="policy-denied"'), "ours")
        [line, *_] = scene.access("node-2", 'reason="policy-denied"')
        assert f'src.identity="{ENVOY}"' in line
        assert "shop/not-envoy" in line
        assert scene.send("client", "shop", scene.address("echo", "shop"))
    finally:
        scene.lab.delete("authorizationpolicy", "not-envoy", "shop")
    scene.lab.wait(lambda: scene.through_envoy(TO_ECHO), "its end")


def test_envoys_requests_are_routed_by_our_waypoint(scene: Scene) -> None:
    plain = scene.curl(f"{WEB}/[1-5]")
    assert plain.count("web-one one") == plain.count("\n200") == 5
    canary = scene.curl("-H", "x-canary: yes", f"{WEB}/[1-5]")
    assert canary.count("web-two two") == canary.count("\n200") == 5
    log = scene.lab.logs("waypoint", namespace="shop")
    assert f'src.identity="{ENVOY}"' in log
    assert 'route="HTTPRoute/shop/web#1" backend="shop/web-two.shop.svc.cluster.local"' in log


def test_the_waypoint_knows_envoys_identity_in_requests(scene: Scene) -> None:
    assert scene.curl(f"{WEB}/admin") == "RBAC: access denied\n403"
    assert scene.curl("http://web/admin", pod="client", namespace="shop").endswith("\n200")


def test_our_worker_calls_a_pod_behind_envoy(scene: Scene) -> None:
    partner = scene.address("partner")
    assert scene.send("client", "shop", partner, mib=MUCH)
    marks = (f'dst.identity="{PARTNER}"', "connection complete", COUNTED)
    scene.lab.wait(lambda: scene.access("node-1", *marks), "the end in the log")
    [line] = scene.access("node-1", *marks)
    assert f'src.identity="{CLIENT}"' in line
    assert f"dst.addr={partner}:15008" in line


def test_envoy_lets_only_the_identity_in_that_it_expects(scene: Scene) -> None:
    """So it has read the certificate that our worker shows for its pod: others are turned away."""
    partner = scene.address("partner")
    assert scene.send("client", "shop", partner)
    assert not scene.send("other", "shop", partner)
    [line] = scene.access("node-1", 'src.workload="other"', f"dst.addr={partner}")
    assert "error=" in line


@pytest.mark.parametrize(
    ("port", "reason", "told"),
    [
        (OTHER_ROOT_TO_ECHO, "tls-failed", "the peer's certificate is not accepted"),
        (OTHER_DOMAIN_TO_ECHO, "wrong-trust-domain", f"spiffe://{ELSEWHERE}/ns/legacy/sa/partner is not of our"),
    ],
)
def test_our_worker_refuses_an_envoy_of(scene: Scene, port: str, reason: str, told: str) -> None:
    with scene.lasting("envoy", "legacy", "127.0.0.1", TO_ECHO):
        assert not scene.through_envoy(port)
    [line, *_] = scene.access("node-2", f'reason="{reason}"')
    assert f"src.addr={scene.address('envoy')}:" in line
    assert told in line


def test_our_waypoint_refuses_an_envoy_of_another_trust_domain(scene: Scene) -> None:
    assert scene.curl(f"http://127.0.0.1:{OTHER_DOMAIN_TO_WEB}/").endswith("000")
    assert f"{ELSEWHERE}/ns/legacy/sa/partner is not of our trust domain" in scene.lab.logs("waypoint", "-n", "shop")
    assert scene.curl(f"{WEB}/").endswith("\n200")


@pytest.mark.parametrize(
    ("server", "reason", "told"),
    [
        ("other-root", "tls-failed", "the peer's certificate is not accepted"),
        ("other-domain", "wrong-identity", f"names spiffe://{ELSEWHERE}/ns/legacy/sa/partner; expected {PARTNER}"),
    ],
)
def test_our_worker_does_not_call_an_envoy_of(scene: Scene, server: str, reason: str, told: str) -> None:
    there = scene.address(server)
    with scene.lasting("client", "shop", scene.address("partner")):
        assert not scene.send("client", "shop", there)
    [line] = scene.access("node-1", f"dst.addr={there}:", f'reason="{reason}"')
    assert told in line
