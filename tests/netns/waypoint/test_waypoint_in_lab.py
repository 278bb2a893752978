"""A waypoint as its users have it: made by command in a lab, given routes and policies, and taken away again."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.lab_for_tests import Lab, MakeLab

pytestmark = pytest.mark.netns

WHO = "netns/meshctl/who.py"


def deployment(version: str) -> str:
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: web-{version}, namespace: shop}}
spec:
  selector: {{app: web, version: {version}}}
  ports: [{{name: http, port: 80, targetPort: 8080, appProtocol: http}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{version}, namespace: shop}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web, version: {version}}}}}
  template:
    metadata: {{labels: {{app: web, version: {version}}}}}
    spec:
      nodeName: node-2
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        command: [python, {WHO}, "8080", {version}]
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
"""


SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio.io/dataplane-mode: ambient}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080, appProtocol: http}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: shop, labels: {{app: client}}}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{{name: client, command: [sleep, infinity]}}]
{deployment("one")}
{deployment("two")}
"""

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 80}]
  rules:
  - matches: [{headers: [{name: x-canary, value: "yes"}]}]
    backendRefs: [{name: web-two, port: 80}]
  - backendRefs:
    - {name: web-one, port: 80, weight: 90}
    - {name: web-two, port: 80, weight: 10}
"""

DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  action: DENY
  rules: [{to: [{operation: {paths: ["/admin*"]}}]}]
"""


def curl(there: Lab, *arguments: str) -> str:
    return there.exec("client", "curl", "-sS", "--max-time", "10", *arguments, namespace="shop", code=None).out


def versions(there: Lab, *arguments: str) -> Counter[str]:
    """Which versions answered, by how often."""
    return Counter(line.split()[1] for line in curl(there, *arguments).splitlines())


def status(there: Lab, *arguments: str) -> str:
    return curl(there, "-o", "/dev/null", "-w", "%{http_code}", *arguments)


def metrics(there: Lab) -> str:
    pod = next(pod for pod in there.get("pods", "shop") if pod["metadata"]["name"].startswith("waypoint"))
    return there.on_node("node-1", "curl", "-s", f"http://{pod['status']['podIP']}:15020/metrics").out


def test_a_waypoint_from_its_making_to_its_end(lab: MakeLab) -> None:
    there = lab(SHOP)
    there.wait(lambda: status(there, "http://web/") == "200", "an answer without a waypoint")

    there.meshctl("waypoint", "create", "-n", "shop", "--enroll-namespace", "--wait", seconds=100)
    there.wait(lambda: status(there, "http://web/") == "200", "an answer through the waypoint")
    there.wait(lambda: 'reporter="waypoint"' in metrics(there), "the waypoint's own count of requests")

    there.apply(ROUTE)
    there.wait(lambda: versions(there, "-H", "x-canary: yes", "http://web/[1-20]") == {"two": 20}, "the header's route")
    shares = versions(there, "http://web/[1-400]")
    assert sum(shares.values()) == 400
    assert 15 <= shares["two"] <= 75

    there.apply(DENY)
    there.wait(lambda: status(there, "http://web/admin/x") == "403", "the denial")
    assert curl(there, "http://web/admin/x") == "RBAC: access denied"
    assert status(there, "http://web/public") == "200"
    assert status(there, "--path-as-is", "http://web/public/../admin") == "403"

    there.meshctl("waypoint", "delete", "waypoint", "-n", "shop")
    there.wait(lambda: status(there, "http://web/") == "000", "the refusal")
    assert status(there, "http://web/admin/x") == "000"
