"""The whole of a node's ztunnel in a lab, with a real istiod: what it shows, and what it does without the others."""

import json

import pytest

from tests.lab_for_tests import Lab, MakeLab
from ztunnel import confine

pytestmark = pytest.mark.netns

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: db, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec:
  nodeName: node-2
  serviceAccountName: db
  terminationGracePeriodSeconds: 0
  containers:
  - name: db
    command: [python, -m, http.server, "8080"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  nodeName: node-1
  serviceAccountName: web
  terminationGracePeriodSeconds: 0
  containers: [{name: web, command: [sleep, infinity]}]
"""

DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-web, namespace: shop}
spec:
  action: DENY
  selector: {matchLabels: {app: db}}
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]
"""

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""


def served(there: Lab) -> bool:
    return there.exec("web", "curl", "-sS", "--max-time", "5", "http://db/", namespace="shop", code=None).code == 0


def lines(there: Lab, node: str, *words: str) -> list[str]:
    log = there.logs("ztunnel", "--node", node).splitlines()
    return [line for line in log if "\taccess\t" in line and all(word in line for word in words)]


def plaintext(there: Lab) -> bool:
    """Whether the last caller of db proved nothing."""
    return "src.identity" not in lines(there, "node-2", 'direction="inbound"')[-1]


def gauge(there: Lab, node: str, name: str) -> float:
    shown = there.on_node(node, "curl", "-sS", "http://127.0.0.1:15020/metrics").out.splitlines()
    return next(float(line.split()[1]) for line in shown if line.startswith(f"{name} "))


def kill(there: Lab, what: str) -> None:
    """In the lab's own process namespace."""
    there.on_node("node-1", "pkill", "-KILL", "-f", what)


def test_what_a_node_shows_of_itself(lab: MakeLab) -> None:
    there = lab(SHOP)
    assert served(there)
    for node, direction in (("node-1", "outbound"), ("node-2", "inbound")):
        found = lines(there, node, "connection complete", f'direction="{direction}"')
        assert found, there.logs("ztunnel")
        assert 'src.identity="spiffe://cluster.local/ns/shop/sa/web"' in found[-1]
        assert 'dst.identity="spiffe://cluster.local/ns/shop/sa/db"' in found[-1]
        assert 'dst.service="db.shop.svc.cluster.local"' in found[-1]
        ready, *lacks = there.on_node(node, "curl", "-sS", "http://127.0.0.1:15021/healthz/ready").out.splitlines()
        assert ready == "ready"
        metrics = there.on_node(node, "curl", "-s", "127.0.0.1:15020/metrics").out
        assert "istio_tcp_connections_opened_total{" in metrics
        for layer in confine.LAYERS:
            here = not any(line.startswith(f"less confined, no {layer}: ") for line in lacks)
            assert f'ambit_confinement{{layer="{layer}"}} {here:.1f}' in metrics
    dump = json.loads(there.on_node("node-1", "curl", "-sS", "http://127.0.0.1:15000/config_dump").out)
    assert {one["name"] for one in dump["workloads"]} >= {"web", "db"}
    assert [one["info"]["name"] for one in dump["workloadState"].values()] == ["web"]
    assert [one["identity"] for one in dump["certificates"]] == ["spiffe://cluster.local/ns/shop/sa/web"]
    assert there.on_node("node-1", "curl", "-sS", "--max-time", "3", "172.30.0.11:15000/config_dump", code=None).code


def test_policies_of_the_mesh_are_enforced_while_they_are_there(lab: MakeLab) -> None:
    there = lab(SHOP)
    assert served(there)
    there.apply(DENY)
    there.wait(lambda: not served(there), "the denial")
    assert "shop/no-web" in lines(there, "node-2", 'direction="inbound"', "policy-denied")[-1]
    there.delete("authorizationpolicy", "no-web", "shop")
    there.wait(lambda: served(there), "the end of the denial")


def test_strict_shuts_out_who_is_not_in_the_mesh(lab: MakeLab) -> None:
    there = lab(SHOP)
    there.label("pod", "web", "istio.io/dataplane-mode=none", namespace="shop")
    there.wait(lambda: served(there) and plaintext(there), "a plaintext connection")
    there.apply(STRICT)
    there.wait(lambda: not served(there), "the denial")
    assert "istio_converted_static_strict" in lines(there, "node-2", "policy-denied")[-1]


def test_without_its_supervisors_the_mesh_goes_on(lab: MakeLab) -> None:
    there = lab(SHOP)
    assert served(there)
    kill(there, "ztunnel supervisor")
    for _ in range(3):
        assert served(there)
    there.wait(lambda: gauge(there, "node-1", "ambit_workers_connected") == 1, "the worker's return")
    there.apply(DENY)
    there.wait(lambda: not served(there), "what the next supervisor is told")


def test_without_istiod_the_mesh_goes_on(lab: MakeLab) -> None:
    there = lab(SHOP)
    assert served(there)
    assert gauge(there, "node-1", "ambit_istiod_connected") == 1
    kill(there, "istiod-lite serve")
    for _ in range(3):
        assert served(there)
    there.wait(lambda: gauge(there, "node-1", "ambit_istiod_connected") == 1, "istiod's return")
    there.apply(DENY)
    there.wait(lambda: not served(there), "what istiod tells after its return")
