"""Gateway API's mesh conformance, case by case and more strictly than its own runner.

The cases are those of the suite's tables, as data; the runner itself asserts neither Locations nor the paths that
backends see, and we do. The data lies beside the repository, in `shared/gateway-api`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.lab_for_tests import Lab, MakeLab

pytestmark = [pytest.mark.netns, pytest.mark.upstream_data, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "gateway-api"
ECHO = ROOT / "examples" / "echo" / "echo.yaml"
HOME, CONSUMER = "gateway-conformance-mesh", "gateway-conformance-mesh-consumer"
PATIENCE = 30.0

GRPC_HEADERS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: grpc-headers, namespace: gateway-conformance-mesh}
spec:
  parentRefs: [{group: "", kind: Service, name: echo, port: 7070}]
  rules:
  - matches: [{headers: [{name: x-test-case, value: set}]}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: x-header-set, value: set-overwrites-values}]}
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{headers: [{name: x-test-case, value: add}]}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {add: [{name: x-header-add, value: add-appends-values}]}
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{headers: [{name: x-test-case, value: remove}]}]
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-header-remove]}}]
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{headers: [{name: x-test-case, value: multi}]}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set: [{name: x-header-set-1, value: header-set-1}, {name: x-header-set-2, value: header-set-2}]
        add: [{name: x-header-add-1, value: header-add-1}, {name: x-header-add-2, value: header-add-2}]
        remove: [x-header-remove-1, x-header-remove-2]
    backendRefs: [{name: echo-v2, port: 7070}]
"""
"""The suite's manifest of this test is newer than its release; this one says the same."""


class Answer:
    """One answer as the client printed it."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [line.partition("] ")[2] for line in lines]
        self.status = int(self.values("StatusCode")[0])

    def values(self, name: str) -> list[str]:
        """All values of a key, in order."""
        return [line.partition("=")[2] for line in self.lines if line.startswith(f"{name}=")]

    def headers(self, kind: str) -> dict[str, str]:
        """Headers of the response, or those that the backend saw; several of one name joined."""
        found: dict[str, list[str]] = {}
        for line in self.values(kind):
            name, _, value = line.partition(":")
            found.setdefault(name.lower(), []).append(value.strip())
        return {name: ",".join(values) for name, values in found.items()}

    @property
    def pod(self) -> str:
        """Who answered."""
        return (self.values("Hostname") or [""])[0]


def clients(there: Lab) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (ns, pod["metadata"]["labels"]["version"]): pod for ns in (HOME, CONSUMER) for pod in there.pods("echo", ns)
    }


def ask(there: Lab, case: dict[str, Any], count: int = 3) -> list[Answer] | str:
    """Have the case's client ask; what it printed when there was no answer."""
    request, pods = case["request"], clients(there)
    version = case["client"]["selector"].rpartition("=")[2]
    pod = pods[case["client"]["namespace"], version]["metadata"]["name"]
    host = request["host"]
    if host.startswith("${POD_IP:"):
        wanted = host.partition("version=")[2].partition("}")[0]
        host = pods[HOME, wanted]["status"]["podIP"] + host.partition("}")[2]
    scheme = "grpc" if request.get("protocol") == "grpc" else "http"
    url = f"{scheme}://{host}{request.get('path', '')}"
    headers = [word for name, value in request.get("headers", {}).items() for word in ("-H", f"{name}:{value}")]
    ended = there.exec(
        pod, "python", "client.py", url, *headers, f"--count={count}", namespace=case["client"]["namespace"], code=None
    )
    numbered: dict[str, list[str]] = {}
    for line in ended.out.splitlines():
        numbered.setdefault(line.partition("]")[0].strip("[").partition(" ")[0], []).append(line)
    if ended.code or len(numbered) != count or "Error=" in ended.out:
        return ended.out + ended.err
    return [Answer(lines) for lines in numbered.values()]


def faults(case: dict[str, Any], answer: Answer) -> list[str]:
    """What is not as expected."""
    expected, request = case["expect"], case["request"]
    found = [] if answer.status in expected["status"] else [f"status {answer.status}"]
    if not answer.pod.startswith(expected.get("podPrefix", "")):
        found.append(f"answered by {answer.pod}")
    back = answer.headers("ResponseHeader")
    for name, value in expected.get("response", {}).get("headers", {}).items():
        found += [] if back.get(name.lower()) == value else [f"response {name}={back.get(name.lower())}"]
    for name in expected.get("response", {}).get("absentHeaders", []):
        found += [f"response has {name}"] if name.lower() in back else []
    upstream, seen = expected.get("upstreamRequest", {}), answer.headers("RequestHeader")
    for name, value in upstream.get("headers", {}).items():
        found += [] if seen.get(name.lower()) == value else [f"backend saw {name}={seen.get(name.lower())}"]
    for name in upstream.get("absentHeaders", []):
        found += [f"backend saw {name}"] if name.lower() in seen else []
    if "path" in upstream and answer.status == 200 and request.get("protocol") != "grpc":
        path = (answer.values("URL") or [""])[0].partition("?")[0]
        found += [] if path == upstream["path"] else [f"backend saw path {path}"]
    if "redirect" in expected:
        found += location_faults(request, expected["redirect"], back.get("location", ""))
    return found


def location_faults(request: dict[str, Any], redirect: dict[str, Any], location: str) -> list[str]:
    """Every part of a Location, those that the filter leaves alone as well."""
    parts = urlsplit(location)
    scheme = redirect.get("scheme", "http")
    known = {"http": 80, "https": 443}[scheme]
    expected = (
        scheme,
        redirect.get("host") or request["host"].partition(":")[0],
        int(redirect.get("port") or known),
        redirect.get("path") or request["path"],
    )
    got = (parts.scheme, parts.hostname, parts.port or known, parts.path)
    return [] if got == expected and f":{known}/" not in location else [f"Location {location}, expected {expected}"]


def judge(there: Lab, test: str, case: dict[str, Any]) -> None:
    """Three good answers in a row, within the suite's patience."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answers = ask(there, case)
        wrong = [answers] if isinstance(answers, str) else [fault for one in answers for fault in faults(case, one)]
        if not wrong:
            return
        assert time.monotonic() < deadline, f"{test}: {case['request']}: {wrong}"


def weigh(there: Lab, test: dict[str, Any]) -> None:
    """The shares of 500 requests, in at most ten tries."""
    told, shares = test["distribution"], {}
    for _ in range(told["maxTries"]):
        answers = ask(there, {**test["cases"][0], "client": told["client"]}, told["requests"])
        if not isinstance(answers, str):
            pods = Counter(answer.pod.rsplit("-", 2)[0] for answer in answers)
            shares = {name: pods[name] / told["requests"] for name in pods}
            if all(abs(shares.get(name, 0) - share) <= told["tolerance"] for name, share in told["weights"].items()):
                return
    raise AssertionError(f"{test['test']}: {shares}")


def manifests_of(test: dict[str, Any]) -> list[str]:
    """The routes of a test."""
    files = [DATA / "conformance" / "tests-mesh" / Path(name).name for name in test["manifests"]]
    return [file.read_text() if file.exists() else GRPC_HEADERS for file in files]


def test_every_case_of_the_mesh_profiles(lab: MakeLab) -> None:
    tests = json.loads((DATA / "vectors" / "mesh.json").read_text())["tests"]
    assert sum(len(test["cases"]) for test in tests) == 85
    there = lab("{apiVersion: v1, kind: Namespace, metadata: {name: conformance}}")
    there.meshctl("lab", "apply", "-f", str(ECHO))
    for namespace in (HOME, CONSUMER):
        there.label("namespace", namespace, "istio.io/dataplane-mode=ambient", namespace="")
    there.meshctl("waypoint", "create", "-n", HOME, "--enroll-namespace", "--wait", seconds=100)
    there.wait(lambda: len(clients(there)) == 3, "the echo pods")
    failed = []
    for test in tests:
        for text in manifests_of(test):
            there.apply(text)
        try:
            for case in test["cases"]:
                judge(there, test["test"], case)
            if "distribution" in test:
                weigh(there, test)
        except AssertionError as fault:
            failed.append(str(fault))
        for text in manifests_of(test):
            for route in filter(None, yaml.safe_load_all(text)):
                there.delete(route["kind"], route["metadata"]["name"], route["metadata"]["namespace"])
    assert failed == []
