"""One request through the whole mesh, as the receiver of its spans sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab_for_tests import Lab, MakeLab

pytestmark = pytest.mark.netns

COLLECTOR = "10.96.0.77"
OTLP = ("--otlp", f"http://{COLLECTOR}:4317")
SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio.io/dataplane-mode: ambient}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: collector, namespace: default}}
spec: {{clusterIP: {COLLECTOR}, selector: {{app: collector}}, ports: [{{name: otlp, port: 4317}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: collector, namespace: default, labels: {{app: collector}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: collector
    command: [python, otlp_pod.py]
    readinessProbe: {{tcpSocket: {{port: 4317}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080, appProtocol: http}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, labels: {{app: web}}}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    command: [python, netns/meshctl/who.py, "8080", one]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: shop, labels: {{app: client}}}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{{name: client, command: [sleep, infinity]}}]
"""
DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{}]}
"""

Span = dict[str, Any]


def spans(there: Lab) -> list[Span]:
    """What the receiver has got so far."""
    got = there.exec("collector", "curl", "-s", "http://127.0.0.1:8080/").out
    return list(json.loads(got))


def ask(there: Lab, *options: str, code: int | None = 0) -> None:
    url = "http://web.shop.svc.cluster.local/"
    there.exec("client", "curl", "-sS", "--max-time", "5", *options, url, namespace="shop", code=code)


def test_one_trace_shows_the_callers_proxy_the_waypoint_and_the_callees_proxy(lab: MakeLab) -> None:
    there = lab(SHOP, *OTLP)
    there.meshctl("waypoint", "apply", "-n", "shop", "--enroll-namespace", "--wait")
    there.wait(lambda: bool(ask(there)) or through_waypoint(there), "a request through the waypoint", 60)
    there.delete("pod", "web", "shop")  # a connection is told of when it ends, and the waypoint keeps this one
    there.wait(lambda: bool(whole(there)), "the whole trace", 60)
    caller, waypoint, callee = whole(there)[0]
    assert caller["parent"] == ""
    assert [one["by"]["service.name"] for one in (caller, waypoint, callee)] == [
        "ztunnel.istio-system", "waypoint.shop", "ztunnel.istio-system",
    ]  # fmt: skip
    assert [caller["by"]["k8s.node.name"], callee["by"]["k8s.node.name"]] == ["node-1", "node-2"]
    assert caller["events"][:3] == ["resolved", "tunnel ready", "connected"]
    assert callee["events"] == ["admitted", "connected"]
    assert waypoint["name"] == "GET"
    assert waypoint["attributes"]["http.response.status_code"] == 200
    for span in (caller, waypoint, callee):
        assert span["attributes"]["istio.destination_namespace"] == "shop"
        assert span["start"] <= span["end"]
    assert caller["trace"] in there.logs("ztunnel", "--node", "node-1")
    assert callee["trace"] in there.logs("ztunnel", "--node", "node-2")


def test_an_error_is_kept_though_nothing_else_is(lab: MakeLab) -> None:
    there = lab(SHOP, *OTLP, "--trace-share", "0")
    ask(there)
    there.apply(DENY)

    def denied() -> bool:
        ask(there, code=None)
        return len(spans(there)) >= 2

    there.wait(denied, "the spans of a refused connection", 60)
    found = spans(there)
    assert all(span["error"] for span in found)
    reasons = {span["attributes"]["ambit.reporter"]: span["attributes"]["error.type"] for span in found}
    assert reasons == {"source": "peer-refused", "destination": "policy-denied"}


def through_waypoint(there: Lab) -> bool:
    """Whether a waypoint has told of a request."""
    return any(span["by"]["service.name"] == "waypoint.shop" for span in spans(there))


def whole(there: Lab) -> list[tuple[Span, Span, Span]]:
    """Every way through the mesh that is there from end to end."""
    found = spans(there)
    by_id = {span["span"]: span for span in found}
    return [
        (by_id[middle["parent"]], middle, last)
        for last in found
        if (middle := by_id.get(last["parent"])) is not None and middle["parent"] in by_id
    ]
