"""The Gateway API's mesh conformance cases, from YAML to what a waypoint would do with each request. No network."""

from __future__ import annotations

import json
import random
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from istiod_lite import facts, manifests
from istiod_lite.compile import Settings, compile_world
from istiod_lite.world import World
from mesh.address import Address
from mesh.identity import Identity
from waypoint import filters
from waypoint.callee import Callee, Gateway, resolve
from waypoint.http.events import RequestHead
from waypoint.plan import Answer, Caller, Forward, Question, plan

pytestmark = pytest.mark.upstream_data

DATA = Path(__file__).resolve().parents[4] / "shared" / "gateway-api"
VECTORS = DATA / "vectors" / "mesh.json"
NAMESPACE = "gateway-conformance-mesh"
WAYPOINT = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: waypoint, namespace: {NAMESPACE}}}
spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}
"""


def vectors() -> list[dict[str, Any]]:
    """The tests whose manifests are in the release; an empty list lets `test_the_data_is_there` fail, not import."""
    if not VECTORS.is_file():
        return []
    return [one for one in json.loads(VECTORS.read_text())["tests"] if one["inRelease_v1.6.1"]]


def cases() -> list[Any]:
    return [
        pytest.param(test, case, id=f"{test['test']}-{number}")
        for test in vectors()
        for number, case in enumerate(test["cases"])
    ]


def world_of(test: dict[str, Any]) -> World:
    """The conformance namespace with pods, virtual addresses and a waypoint, and this test's routes."""
    conformance = DATA / "conformance"
    paths = [conformance / "mesh" / "manifests.yaml"]
    paths += [conformance / one.replace("tests/mesh", "tests-mesh") for one in test["manifests"]]
    texts = {str(number): path.read_text() for number, path in enumerate(paths)} | {"waypoint": WAYPOINT}
    objects, problems = manifests.load(texts)
    assert problems == []
    found = []
    for number, obj in enumerate(objects):
        body: Any = obj.body
        if obj.kind == "Namespace" and obj.name == NAMESPACE:
            body["metadata"]["labels"]["istio.io/use-waypoint"] = "waypoint"
        elif obj.kind == "Service":
            body["spec"]["clusterIP"] = f"10.96.0.{number}"
        elif obj.kind == "Deployment":
            found += pods(body, number)
        found.append(facts.read(obj))
    assert [one for one in found if isinstance(one, list) and one] == []
    return World.of(one for one in found if not isinstance(one, list))


def pods(deployment: Any, number: int) -> list[Any]:
    """The one pod of a Deployment, ready."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": deployment["spec"]["template"]["metadata"]
        | {"name": deployment["metadata"]["name"] + "-abc12-xyz", "namespace": deployment["metadata"]["namespace"]},
        "spec": deployment["spec"]["template"]["spec"],
        "status": {"podIP": f"10.244.0.{number}", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    objects, _ = manifests.load({"pod.json": json.dumps(pod)})
    return [facts.read(one) for one in objects]


class Runner:
    """Asks the waypoint's plan for what a conformance client would send."""

    def __init__(self, test: dict[str, Any]) -> None:
        self.snapshot = compile_world(world_of(test), Settings())
        self.here = Gateway(NAMESPACE, "waypoint")
        self.dice = random.Random(1).random

    def ask(self, case: dict[str, Any]) -> Forward | Answer:
        request = case["request"]
        host, _, port = request["host"].partition(":")
        name, _, namespace = host.partition(".")
        service = self.snapshot.services[f"{namespace or NAMESPACE}/{name}.{namespace or NAMESPACE}.svc.cluster.local"]
        vip = Address(service.addresses[0].ip, int(port or 80))
        callee = resolve(self.snapshot, self.here, str(vip))
        assert isinstance(callee, Callee), callee
        caller = Caller(Identity("cluster.local", case["client"]["namespace"], "default"), ip_address("10.244.0.99"))
        return plan(Question(self.snapshot, self.here, callee, caller, self.dice), head_of(request))


def head_of(request: dict[str, Any]) -> RequestHead:
    headers = {name.lower(): value for name, value in request.get("headers", {}).items()}
    authority = headers.pop("host", request["host"])
    method, path = request.get("method", "GET"), request.get("path", "/")
    if request.get("protocol") == "grpc":
        method, path = "POST", "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo"
        headers["content-type"] = "application/grpc"
    fields = tuple((name.encode(), value.encode()) for name, value in headers.items())
    return RequestHead(method=method.encode(), path=path.encode(), authority=authority.encode(), headers=fields)


def joined(fields: Any) -> dict[str, str]:
    """Headers by name, several lines of one joined as a receiver would."""
    found: dict[str, str] = {}
    for name, value in fields:
        text = value.decode()
        found[name.decode()] = f"{found[name.decode()]},{text}" if name.decode() in found else text
    return found


def check_headers(found: dict[str, str], wanted: dict[str, Any]) -> None:
    for name, value in wanted.get("headers", {}).items():
        assert found.get(name.lower()) == value
    for name in wanted.get("absentHeaders", ()):
        assert name.lower() not in found


def check_redirect(where: str, wanted: dict[str, str], request: dict[str, Any]) -> None:
    """The parts of the Location that are asked for; Gateway API lets the path be left as it was."""
    url = urlsplit(where)
    assert url.scheme == wanted.get("scheme", url.scheme)
    assert url.hostname == wanted.get("host", request["host"])
    assert url.path == wanted.get("path", request["path"])
    if "port" in wanted:
        assert str(url.port) == wanted["port"]


def test_the_data_is_there(gateway_api):
    assert len(vectors()) == 22


@pytest.mark.parametrize(("test", "case"), cases())
def test_a_conformance_case(test: dict[str, Any], case: dict[str, Any]):
    runner, expected = Runner(test), case["expect"]
    if "POD_IP" in case["request"]["host"]:
        # What is sent to a pod's own address is not routed: the pod has no waypoint, so nobody applies the route.
        prefix = expected["podPrefix"]
        assert [one.waypoint for one in runner.snapshot.workloads.values() if one.name.startswith(prefix)] == [None]
        return
    found = runner.ask(case)
    if isinstance(found, Answer):
        assert found.status in expected["status"]
        if "redirect" in expected:
            check_redirect(joined(found.headers)["location"], expected["redirect"], case["request"])
        return
    assert expected["status"] == [200]
    assert found.endpoint.workload.name.startswith(expected.get("podPrefix", "echo-"))
    check_headers(joined(found.request.headers), expected.get("upstreamRequest", {}))
    if "path" in expected.get("upstreamRequest", {}) and "upstreamDefect" not in case:
        assert found.request.path.decode() == expected["upstreamRequest"]["path"]
    check_headers(joined(filters.on_response((), found.response_changes)), expected.get("response", {}))


@pytest.mark.parametrize("test", [pytest.param(one, id=one["test"]) for one in vectors() if "distribution" in one])
def test_requests_are_shared_by_weight(test: dict[str, Any]):
    runner, wanted = Runner(test), test["distribution"]
    counts: Counter[str] = Counter()
    for _ in range(2000):
        found = runner.ask(test["cases"][0])
        assert isinstance(found, Forward)
        counts[found.endpoint.workload.name.removesuffix("-abc12-xyz")] += 1
    for name, share in wanted["weights"].items():
        assert counts[name] / 2000 == pytest.approx(share, abs=wanted["tolerance"])
