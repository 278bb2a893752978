"""External authorizers: named in the mesh's configuration, told to waypoints, and denying where there is none."""

from __future__ import annotations

import textwrap

import pytest

from istiod_lite.compile import Settings, compile_world
from istiod_lite.object import ObjectKey
from istiod_lite.status import statuses
from mesh.policy import Action, Authorizer, Policy
from tests.unit.istiod_lite.test_statuses import NAMESPACE, READY, SERVICES

KEY = ObjectKey("security.istio.io", "AuthorizationPolicy", "shop", "ask")
CART = "targetRefs: [{kind: Service, group: '', name: cart}], "


def mesh_config(providers: str, namespace: str = "istio-system") -> str:
    head = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: {namespace}}}\ndata:\n  mesh: |\n"
    return head + textwrap.indent(f"accessLogFile: /dev/stdout\nextensionProviders: {providers}\n", "    ")


def policy(target: str = CART, provider: str = "opa") -> str:
    rules = "rules: [{to: [{operation: {paths: [/private]}}]}]"
    return f"""
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {{name: ask, namespace: shop}}
        spec: {{{target}action: CUSTOM, provider: {{name: {provider}}}, {rules}}}
    """


OPA = mesh_config(
    "[{name: opa, envoyExtAuthzGrpc: {service: opa.ops.svc.cluster.local, port: 9191, timeout: 2s}}, {name: otel}]"
)


def compiled(world_of, *texts: str) -> Policy:
    (found,) = compile_world(world_of(NAMESPACE, SERVICES, *READY, *texts), Settings()).policies.values()
    return found


def condition(world_of, *texts: str) -> tuple[str, str, str]:
    [found] = statuses(world_of(NAMESPACE, SERVICES, *READY, *texts), Settings())[KEY]["conditions"]
    return found["status"], found["reason"], found["message"]


def test_a_provider_of_the_mesh_is_whom_the_waypoint_asks(world_of) -> None:
    found = compiled(world_of, OPA, policy())
    assert (found.action, len(found.rules[0].clauses)) == (Action.CUSTOM, 1)
    assert found.authorizer == Authorizer("ops/opa.ops.svc.cluster.local", 9191, timeout=2.0)
    assert condition(world_of, OPA, policy())[:2] == ("True", "Accepted")


def test_every_field_of_a_provider_means_something(world_of) -> None:
    grpc = "{service: ext/authz.example.com, port: 443, failOpen: true, statusOnError: '503'}"
    found = compiled(world_of, mesh_config(f"[{{name: opa, envoyExtAuthzGrpc: {grpc}}}]"), policy())
    assert found.authorizer == Authorizer("ext/authz.example.com", 443, 0.6, fail_open=True, status=503)


@pytest.mark.parametrize(
    "texts",
    [
        (policy(),),
        (OPA, policy(provider="other")),
        (OPA, policy(provider="otel")),
        (OPA.replace("istio-system", "shop"), policy()),
    ],
)
def test_without_its_provider_what_a_policy_matches_is_denied_and_its_status_says_so(world_of, texts) -> None:
    found = compiled(world_of, *texts)
    assert (found.action, found.authorizer, len(found.rules)) == (Action.DENY, None, 1)
    holds, reason, message = condition(world_of, *texts)
    assert (holds, reason) == ("False", "UnsupportedValue")
    assert "ConfigMap istio-system/istio, extensionProviders" in message


def test_a_node_asks_nobody_so_without_a_waypoint_it_denies(world_of) -> None:
    assert compiled(world_of, OPA, policy("")).action is Action.DENY
    assert "use targetRefs" in condition(world_of, OPA, policy(""))[2]


@pytest.mark.parametrize(
    ("provider", "field"),
    [
        ("{port: 1}", "service"),
        ("{service: a.b}", "port"),
        ("{service: opa, port: 1}", "service"),
        ("{service: a.b, port: 1, timeout: 2m}", "timeout"),
        ("{service: a.b, port: 1, statusOnError: '200'}", "statusOnError"),
        ("{service: a.b, port: 1, includeRequestBodyInCheck: {maxRequestBytes: 1}}", "includeRequestBodyInCheck"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(problems_of, provider: str, field: str) -> None:
    [problem] = problems_of(mesh_config(f"[{{name: a, envoyExtAuthzGrpc: {provider}}}]"))
    assert problem.field == f"data.mesh.extensionProviders[0].envoyExtAuthzGrpc.{field}"
    assert problem.mend


def test_a_configuration_that_is_none_is_refused(problems_of) -> None:
    [problem] = problems_of("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: '{'}")
    assert (problem.field, problem.message) == ("data.mesh", "this is not YAML")
    [problem] = problems_of(mesh_config("[{name: a}, {name: a}]"))
    assert "given twice" in problem.message
