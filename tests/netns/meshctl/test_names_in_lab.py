"""Names in a lab's mesh: hosts of ServiceEntries, machines, aliases and single pods, called as processes call them."""

import pytest

from tests.lab_for_tests import Lab, MakeLab

pytestmark = pytest.mark.netns

WHO = "netns/meshctl/who.py"

SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio.io/dataplane-mode: ambient}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: outside}}
---
apiVersion: v1
kind: Service
metadata: {{name: bank, namespace: outside}}
spec: {{clusterIP: None, selector: {{app: bank}}, ports: [{{port: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: bank, namespace: outside, labels: {{app: bank}}}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: bank
    command: [python, {WHO}, "8080", outside]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: peers, namespace: shop}}
spec: {{clusterIP: None, selector: {{app: web}}, ports: [{{port: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: other, namespace: shop}}
spec: {{type: ExternalName, externalName: peers.shop.svc.cluster.local}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, labels: {{app: web}}}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    command: [python, {WHO}, "8080", inside]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: shop}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{{name: client, command: [sleep, infinity]}}]
"""

STATIC = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: bank, namespace: shop{labels}}}
spec:
  hosts: [bank.example.com]
  ports: [{{name: http, number: 80, protocol: HTTP, targetPort: 8080}}]
  resolution: STATIC
  endpoints: [{{address: {bank}}}]
"""
OTHERS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: far, namespace: shop}}
spec:
  hosts: [far.example.com]
  ports: [{{name: tcp, number: 80, protocol: TCP, targetPort: 8080}}]
  resolution: DNS
  endpoints: [{{address: bank.outside.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: machine, namespace: shop}}
spec:
  hosts: [machine.example.com]
  location: MESH_INTERNAL
  ports: [{{name: tcp, number: 80, protocol: TCP, targetPort: 8080}}]
  resolution: STATIC
  workloadSelector: {{labels: {{app: machine}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: machine, namespace: shop}}
spec:
  address: {web}
  labels: {{app: machine, networking.istio.io/tunnel: http}}
"""
RESOLVED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec:
  hosts: [far.example.com]
  ports: [{name: http, number: 80, protocol: HTTP, targetPort: 8080}]
  resolution: DNS
  endpoints: [{address: bank.outside.svc.cluster.local}]
"""
DENIED = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-strangers, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules: [{from: [{source: {principals: ["*"]}}]}]
"""
GUARDED = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets, namespace: shop}
spec:
  targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: bank}]
  action: DENY
  rules: [{to: [{operation: {paths: [/secret]}}]}]
"""


SPLIT = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bank, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: bank}]
  rules:
  - matches: [{path: {value: /inside}}]
    backendRefs: [{name: peers, port: 8080}]
  - backendRefs: [{group: networking.istio.io, kind: Hostname, name: bank.example.com, port: 80}]
"""


def call(there: Lab, url: str, pod: str = "client", namespace: str = "shop") -> str:
    words = ("curl", "-sS", "--max-time", "8", "-w", " %{http_code}", url)
    return there.exec(pod, *words, namespace=namespace, code=None).out


def address(there: Lab, pod: str, namespace: str) -> str:
    return str(there.get("pods", namespace, pod)[0]["status"]["podIP"])


def outbound(there: Lab) -> list[str]:
    return [line for line in there.logs("ztunnel", "--node", "node-1").splitlines() if 'direction="outbound"' in line]


def test_every_kind_of_name_leads_where_it_should(lab: MakeLab) -> None:
    there = lab(SHOP)
    bank, web = address(there, "bank", "outside"), address(there, "web", "shop")
    there.apply(STATIC.format(bank=bank, labels=""))
    there.apply(OTHERS.format(web=web))
    for url, who in (
        ("http://bank.example.com/", "bank outside"),
        ("http://far.example.com/", "bank outside"),
        ("http://machine.example.com/", "web inside"),
        ("http://peers:8080/", "web inside"),
        ("http://web.peers:8080/", "web inside"),
        ("http://other:8080/", "web inside"),
    ):
        there.wait(lambda url=url, who=who: call(there, url).startswith(who), f"an answer of {url}")
    there.wait(lambda: any('dst.service="far.example.com"' in line for line in outbound(there)), "the record")
    tunnelled = [line for line in outbound(there) if 'dst.service="machine.example.com"' in line]
    assert tunnelled
    assert all(f"dst.hbone_addr={web}:8080" in line for line in tunnelled)
    assert "bank outside" in call(there, "http://bank.outside:8080/", "bank", "outside")

    there.apply(DENIED)
    there.wait(lambda: "inside" not in call(there, "http://machine.example.com/"), "the policy at the machine")
    assert "outside" in call(there, "http://bank.example.com/")


def test_a_service_entry_has_a_waypoint_with_policies_and_routes_of_its_own(lab: MakeLab) -> None:
    there = lab(SHOP)
    there.meshctl("waypoint", "create", "-n", "shop", "--wait", seconds=100)
    bank = address(there, "bank", "outside")
    there.apply(STATIC.format(bank=bank, labels=", labels: {istio.io/use-waypoint: waypoint}"))
    there.apply(GUARDED)
    there.apply(RESOLVED)
    there.wait(lambda: "outside" in call(there, "http://bank.example.com/"), "an answer")
    there.wait(lambda: call(there, "http://bank.example.com/secret").endswith(" 403"), "the policy of the waypoint")
    assert call(there, "http://bank.example.com/other").endswith(" 200")
    there.apply(SPLIT)
    there.wait(lambda: "web inside" in call(there, "http://bank.example.com/inside"), "the route of the ServiceEntry")
    assert "bank outside" in call(there, "http://bank.example.com/other")
    assert call(there, "http://bank.example.com/secret").endswith(" 403")
    there.wait(lambda: "bank outside" in call(there, "http://far.example.com/"), "an endpoint that has only a name")
    assert "far.example.com" in there.logs("waypoint", namespace="shop")
