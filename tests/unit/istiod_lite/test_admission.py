"""Admission: what a person would like to hear before an object is applied."""

from __future__ import annotations

import textwrap

import pytest

from istiod_lite import admission

ROUTE = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: r, namespace: shop}
    spec:
      parentRefs: [{group: '', kind: Service, name: cart}]
      rules:
      - backendRefs: [{name: cart, port: 80}]
"""
CART = """
    apiVersion: v1
    kind: Service
    metadata: {name: cart, namespace: shop}
    spec: {ports: [{port: 80}]}
"""


def check(text: str, context=None) -> list[str]:
    return [str(one) for one in admission.check(textwrap.dedent(text), "a.yaml", context)]


def test_nothing_is_wrong(world_of):
    assert check(ROUTE) == []
    assert check(ROUTE, world_of(CART)) == []


def test_a_typo_is_found_with_its_line():
    assert check(ROUTE.replace("backendRefs", "backendRef")) == [
        "a.yaml:8: HTTPRoute shop/r: spec.rules[0].backendRef: there is no such field (did you mean backendRefs?)"
    ]


def test_text_that_is_no_yaml():
    assert check("a: [\n") == ["a.yaml:2: this is not YAML: did not find expected node content (mend the syntax)"]


def test_references_are_looked_up_where_the_surroundings_are_known(world_of):
    assert check(ROUTE, world_of()) == [
        (
            "a.yaml:6: HTTPRoute shop/r: spec.parentRefs[0]: warning: Service shop/cart does not exist "
            "(create it, or mend the reference)"
        ),
        (
            "a.yaml:8: HTTPRoute shop/r: spec.rules[0].backendRefs[0]: warning: Service shop/cart does not exist "
            "(create it, or mend the reference)"
        ),
    ]


def test_references_within_the_same_documents_count(world_of):
    assert check(ROUTE + "    ---" + CART, world_of()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ROUTE + "        filters: [{type: ExtensionRef, extensionRef: {group: g.example, kind: K, name: n}}]\n",
            (
                "a.yaml:8: HTTPRoute shop/r: spec.rules[0]: filter ExtensionRef is not supported "
                "(its requests would be answered 500: take it away)"
            ),
        ),
        (
            """
            apiVersion: gateway.networking.k8s.io/v1
            kind: Gateway
            metadata: {name: w}
            spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 80, protocol: HTTP}]}
            """,
            (
                "a.yaml:5: Gateway default/w: spec.listeners: a waypoint has exactly one listener, of protocol HBONE "
                "on port 15008 (give it one listener: {name: mesh, port: 15008, protocol: HBONE})"
            ),
        ),
        (
            """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: p, namespace: shop}
            spec: {targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}]}
            """,
            (
                "a.yaml:5: AuthorizationPolicy shop/p: spec.targetRefs[0]: a policy for a GatewayClass belongs into "
                "namespace istio-system (move it there)"
            ),
        ),
    ],
)
def test_what_can_never_work_is_grave(text: str, said: str):
    assert check(text) == [said]


def test_a_waypoint_that_will_not_take_a_service_is_worth_a_warning(world_of):
    made = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: Gateway
        metadata: {name: w, namespace: infra}
        spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
    """
    labels = "namespace: shop, labels: {istio.io/use-waypoint: w, istio.io/use-waypoint-namespace: infra}"
    assert check(CART.replace("namespace: shop", labels), world_of(made)) == [
        (
            "a.yaml:4: Service shop/cart: metadata.labels: warning: waypoint infra/w does not let namespace shop in "
            "(allowedRoutes) (mend the label or the Gateway)"
        )
    ]
    missing = CART.replace("namespace: shop", "namespace: shop, labels: {istio.io/use-waypoint: soon}")
    assert check(missing, world_of(made)) == []
