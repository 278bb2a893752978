"""`meshctl why` says what then really happens, for calls that pass and calls that do not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input_scene import client, server, service
from tests.lab_for_tests import Lab, new_lab

pytestmark = pytest.mark.netns

SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio.io/dataplane-mode: ambient}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: outside}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: waypoint, namespace: shop}}
spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}
{server("web")}{service("web", "web")}
{server("guarded")}{service("guarded", "guarded")}
{server("catalog")}{service("catalog", "catalog", "waypoint")}
{client("client", "shop")}{client("stranger", "outside")}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: nobody, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: guarded}}}}
  action: DENY
  rules: [{{from: [{{source: {{namespaces: [shop]}}}}]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: no-post, namespace: shop}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}}]
  action: DENY
  rules: [{{to: [{{operation: {{methods: [POST]}}}}]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: tried, namespace: shop, annotations: {{istio.io/dry-run: "true"}}}}
spec: {{selector: {{matchLabels: {{app: web}}}}, action: DENY, rules: [{{}}]}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: watched, namespace: shop}}
spec:
  targetRefs: [{{group: "", kind: Service, name: catalog}}]
  action: AUDIT
  rules: [{{to: [{{operation: {{paths: [/shelf/watched]}}}}]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: tried-here, namespace: shop, annotations: {{istio.io/dry-run: "true"}}}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}}]
  action: DENY
  rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: catalog, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: catalog, port: 80}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /shelf}}}}]
    backendRefs: [{{name: catalog, port: 80}}]
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="ambit-") as runtime:
        there = new_lab(Path(runtime))
        try:
            there.up(SHOP)
            yield there
        finally:
            there.meshctl("lab", "down", there.name, code=None)


@pytest.mark.parametrize(
    ("url", "method", "word"),
    [
        ("http://web/", "GET", "gets through"),
        ("http://guarded/", "GET", "rule 1 of DENY policy shop/nobody matches"),
        ("http://catalog/shelf/1", "GET", "gets through"),
        ("http://catalog/shelf/1", "POST", "rule 1 of DENY policy shop/no-post matches"),
        ("http://catalog/cellar", "GET", "404, no-route"),
        ("http://web:81/", "GET", "unknown-port"),
    ],
)
def test_why_says_what_a_real_call_meets(shop: Lab, url: str, method: str, word: str) -> None:
    passes = word == "gets through"
    told = shop.meshctl("why", "client", url, "-n", "shop", "--method", method, "-o", "json", code=0 if passes else 1)
    found = json.loads(told.out)
    assert found["allowed"] is passes
    assert word in found["verdict"]
    real = shop.exec("client", "curl", "-s", "-f", "-X", method, "--max-time", "5", url, namespace="shop", code=None)
    assert (real.code == 0) is passes, real


def test_a_dry_run_is_told_beside_what_is_done(shop: Lab) -> None:
    calls = {
        "ztunnel": ("http://web/", 'dry_run="denied: rule 1 of DENY policy shop/tried matches"'),
        "waypoint": ("http://catalog/shelf/2", 'dry_run="denied: rule 1 of DENY policy shop/tried-here matches"'),
    }
    for program, (url, told) in calls.items():
        shop.exec("client", "curl", "-s", "-f", "--max-time", "5", url, namespace="shop")
        shop.wait(lambda program=program, told=told: told in shop.logs(program, namespace="shop"), told)
        assert "it is a dry run" in shop.meshctl("why", "client", url, "-n", "shop").out


def test_what_an_audit_policy_matches_is_marked_in_the_log_and_nothing_else_is(shop: Lab) -> None:
    for path in ("watched", "unwatched"):
        shop.exec("client", "curl", "-s", "-f", "--max-time", "5", f"http://catalog/shelf/{path}", namespace="shop")

    def lines(path: str) -> list[str]:
        return [
            line for line in shop.logs("waypoint", namespace="shop").splitlines() if f'path="/shelf/{path}"' in line
        ]

    shop.wait(lambda: lines("watched") and lines("unwatched"), "the requests in the log")
    assert 'audit="shop/watched"' in lines("watched")[0]
    assert "audit=" not in lines("unwatched")[0]


def test_a_caller_outside_the_mesh_is_followed_too(shop: Lab) -> None:
    told = json.loads(shop.meshctl("why", "outside/stranger", "http://web.shop/", "-o", "json").out)
    assert [leg["who"].split(" of ")[0] for leg in told["legs"]] == ["no proxy", "ztunnel"]
    assert "clear text" in told["legs"][1]["steps"][0]["text"]


def test_the_table_names_each_proxy_and_marks_what_did_not_match(shop: Lab) -> None:
    lines = shop.meshctl("why", "client", "http://catalog/cellar", "-n", "shop", code=1).out.splitlines()
    assert any(line.startswith("ztunnel of node-") for line in lines)
    assert any(line.startswith("waypoint shop/waypoint-") for line in lines)
    assert any("- route" in line and "path /cellar is not prefix /shelf" in line for line in lines)
    assert lines[-1].startswith("The call is refused by waypoint shop/waypoint-")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("client", "http://katalog/", "-n", "shop"), 3, "Did you mean catalog?"),
        (("cliemt", "http://web/", "-n", "shop"), 3, "Did you mean client?"),
        (("client", "http://web:http/", "-n", "shop"), 2, "Say HOST:PORT or a URL."),
        (("client", "http://web/", "-n", "shop", "-H", "x"), 2, "Say it as 'name: value'."),
    ],
)
def test_a_question_that_makes_no_sense_is_mended(shop: Lab, words: tuple[str, ...], code: int, text: str) -> None:
    assert text in shop.meshctl("why", *words, code=code).err
