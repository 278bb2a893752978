"""The lab with the mesh in it: istiod as a pod, a ztunnel on every node, pods that join and leave."""

import os
import re

import pytest

from tests.lab_for_tests import Lab, MakeLab

pytestmark = pytest.mark.netns

WHO = "netns/meshctl/who.py"
REDIRECTION = "ambient.istio.io/redirection"

SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      nodeName: node-2
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        command: [python, {WHO}, "8080", one]
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

MESHED = SHOP.replace("{name: shop}", "{name: shop, labels: {istio.io/dataplane-mode: ambient}}", 1)


def ask(there: Lab, url: str = "http://web/") -> str:
    return there.exec("client", "curl", "-sS", "--max-time", "5", url, namespace="shop").out


def captured(there: Lab) -> set[str]:
    return {
        pod["metadata"]["labels"]["app"]
        for pod in there.get("pods", "shop")
        if pod["metadata"].get("annotations", {}).get(REDIRECTION) == "enabled"
    }


def pids(there: Lab) -> dict[str, str]:
    lines = there.meshctl("lab", "get", "pods", "-n", "shop").out.splitlines()[1:]
    return {line.split()[1]: line.split()[8] for line in lines}


def rules(there: Lab, pod: str) -> str:
    return there.exec(pod, "nft", "list", "ruleset", namespace="shop", options=["--privileged"]).out


def test_a_namespace_joins_and_leaves_and_no_process_notices(lab: MakeLab) -> None:
    there = lab(SHOP)
    before = pids(there)
    assert captured(there) == set()
    there.label("ns", "shop", "istio.io/dataplane-mode=ambient")
    there.wait(lambda: captured(there) == {"web", "client"}, "the capture of both pods")
    assert "redirect to :15001" in rules(there, "client")
    assert "one" in ask(there)
    arrived = [line for line in there.logs("ztunnel", "--node", "node-2").splitlines() if 'direction="inbound"' in line]
    assert 'src.identity="spiffe://cluster.local/ns/shop/sa/default"' in arrived[-1]
    there.label("ns", "shop", "istio.io/dataplane-mode-")
    there.wait(lambda: captured(there) == set(), "their release")
    there.wait(lambda: "redirect" not in rules(there, "client"), "the end of the rules")
    assert "one" in ask(there)
    assert pids(there) == before


def test_a_pod_belongs_to_the_mesh_before_its_first_process_runs(lab: MakeLab) -> None:
    there = lab(MESHED)
    assert captured(there) == {"web", "client"}
    eager = """
apiVersion: v1
kind: Pod
metadata: {name: eager, namespace: shop, labels: {app: eager}}
spec:
  restartPolicy: Never
  containers: [{name: main, command: [curl, -sS, --max-time, "5", "http://web/"]}]
"""
    there.apply(eager)
    there.wait(lambda: there.get("pods", "shop", "eager")[0]["status"]["phase"] == "Succeeded", "its only request")
    [address] = [pod["status"]["podIP"] for pod in there.get("pods", "shop", "eager")]
    arrived = [
        line for line in there.logs("ztunnel", "--node", "node-2").splitlines() if f"src.addr={address}:" in line
    ]
    assert arrived
    assert all('src.identity="spiffe://cluster.local/ns/shop/sa/default"' in line for line in arrived)


def test_waypoints_are_made_listed_used_and_deleted(lab: MakeLab) -> None:
    there = lab(MESHED)
    assert "gatewayClassName: istio-waypoint" in there.meshctl("waypoint", "generate", "-n", "shop").out
    there.meshctl("waypoint", "create", "-n", "shop", "--enroll-namespace", "--wait", seconds=100)
    assert re.search(r"shop +waypoint +service +True", there.meshctl("waypoint", "list", "-A").out)
    assert "Programmed" in there.meshctl("waypoint", "status", "waypoint", "-n", "shop").out
    there.wait(lambda: "one" in ask(there) and "GET" in there.logs("waypoint", namespace="shop"), "a routed request")
    user = there.exec(waypoint_pod(there), "id", "-u", namespace="shop").out.strip()
    assert user == ("1337" if os.geteuid() == 0 else "0")
    there.meshctl("waypoint", "delete", "waypoint", "-n", "shop")
    there.wait(lambda: not [pod for pod in there.get("pods", "shop") if "waypoint" in pod["metadata"]["name"]])
    assert there.meshctl("waypoint", "create", "--name", "none", code=2).err


def waypoint_pod(there: Lab) -> str:
    [found] = [pod["metadata"]["name"] for pod in there.get("pods", "shop") if "waypoint" in pod["metadata"]["name"]]
    return str(found)


def test_a_faulty_object_is_refused_and_nothing_of_its_file_is_taken(lab: MakeLab) -> None:
    there = lab(SHOP)
    faulty = """
apiVersion: v1
kind: ConfigMap
metadata: {name: innocent, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: typo, namespace: shop}
spec: {action: ALLOW, rulez: [{}]}
"""
    refused = there.apply(faulty, code=1)
    assert "rules" in refused.err
    assert there.meshctl("lab", "get", "cm", "innocent", "-n", "shop", code=3)


def test_istiod_comes_back_after_its_end_with_the_same_root(lab: MakeLab) -> None:
    there = lab(MESHED)

    def istiod() -> list[str]:
        return [pod["metadata"]["name"] for pod in there.pods("istiod", "istio-system")]

    def root() -> str:
        return str(there.get("cm", "shop", "istio-ca-root-cert")[0]["data"]["root-cert.pem"])

    [before], certificate = istiod(), root()
    there.delete("pod", before, "istio-system")
    there.wait(lambda: len(istiod()) == 1 and istiod() != [before], "a new istiod")
    there.wait(lambda: "waiting" not in there.meshctl("lab", "status").out and "not ready" not in there.account())
    assert root() == certificate
    assert "one" in ask(there)
    there.meshctl("lab", "delete", "pod", there.pods("web", "shop")[0]["metadata"]["name"], "-n", "shop")
    there.wait(lambda: captured(there) == {"web", "client"} and "not ready" not in there.meshctl("lab", "status").out)
    assert "one" in ask(there)


def test_an_ordinary_user_has_a_mesh_too(lab: MakeLab) -> None:
    there = lab(MESHED, user=True)
    assert captured(there) == {"web", "client"}
    assert "one" in ask(there)
