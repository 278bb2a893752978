"""Routes of services: what reaches a waypoint of an HTTPRoute or GRPCRoute."""

from __future__ import annotations

import pytest

from istiod_lite.compile import Settings, compile_world
from mesh.route import Mirror, RequestHead, RouteKind, applicable, best

CART, WEB = "shop/cart.shop.svc.cluster.local", "shop/web.shop.svc.cluster.local"
SERVICES = """
    apiVersion: v1
    kind: Service
    metadata: {name: cart, namespace: shop}
    spec: {ports: [{name: http, port: 80}, {name: grpc, port: 90}, {name: udp, port: 53, protocol: UDP}]}
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec: {ports: [{port: 80}]}
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: alias, namespace: shop}
    spec: {type: ExternalName, externalName: example.org, ports: [{port: 80}]}
"""


def route(spec: str, name: str = "r", kind: str = "HTTPRoute", namespace: str = "shop", created: str = "") -> str:
    when = f", creationTimestamp: {created}" if created else ""
    return f"""
        apiVersion: gateway.networking.k8s.io/v1
        kind: {kind}
        metadata: {{name: {name}, namespace: {namespace}{when}}}
        spec: {spec}
    """


def to_cart(more: str = "", rules: str = "[{backendRefs: [{name: cart, port: 80}]}]") -> str:
    parent = "{group: '', kind: Service, name: cart, namespace: shop" + (f", {more}" if more else "") + "}"
    return f"{{parentRefs: [{parent}], rules: {rules}}}"


@pytest.fixture
def routes_of(world_of):
    return lambda *texts: compile_world(world_of(SERVICES, *texts), Settings()).routes


@pytest.fixture
def backend_of(routes_of):
    def only(reference: str):
        (found,) = routes_of(route(to_cart(rules=f"[{{backendRefs: [{reference}]}}]"))).values()
        return found.rules[0].backends[0] if found.rules[0].backends else None

    return only


def test_a_route_is_attached_to_its_service(routes_of):
    found = routes_of(route(to_cart()))[f"HTTPRoute/shop/r/{CART}/*"]
    assert (found.service, found.port, found.kind, found.producer) == (CART, None, RouteKind.HTTP, True)


@pytest.mark.parametrize(
    ("parent", "ports"),
    [
        ("", [None]),
        ("port: 80", [80]),
        ("sectionName: grpc", [90]),
        ("sectionName: grpc, port: 90", [90]),
        ("sectionName: grpc, port: 80", []),
        ("port: 53", []),
        ("port: 8080", []),
    ],
)
def test_a_parent_may_be_one_port_by_number_or_name(routes_of, parent: str, ports: list):
    assert [one.port for one in routes_of(route(to_cart(parent))).values()] == ports


@pytest.mark.parametrize(
    "parent", ["{name: gw}", "{group: '', kind: Service, name: gone}", "{group: '', kind: Service, name: alias}"]
)
def test_a_route_of_nothing_in_the_mesh_is_no_route(routes_of, parent: str):
    assert routes_of(route(f"{{parentRefs: [{parent}]}}")) == {}


def test_the_group_core_means_services_as_well(routes_of):
    assert len(routes_of(route(to_cart().replace("group: ''", "group: core")))) == 1


def test_a_backend_that_leads_nowhere_keeps_its_share(backend_of):
    assert backend_of("{name: web, port: 80}").broken is None
    assert backend_of("{name: web, port: 81}").broken == "Service shop/web has no TCP port 81"
    assert backend_of("{name: gone, port: 80, weight: 9}").broken == "Service shop/gone does not exist"
    assert backend_of("{name: gone, port: 80, weight: 9}").weight == 9
    assert backend_of("{name: alias, port: 80}").broken == (
        "Service shop/alias is an ExternalName, which cannot be a backend"
    )
    broken = backend_of("{name: b, kind: Bucket, group: example.org}")
    assert (broken.broken, broken.service) == (
        ("backend Bucket.example.org shop/b: only Services, and hosts of ServiceEntries (kind Hostname, group "
        "networking.istio.io) are supported"), "",
    )  # fmt: skip


def test_a_backend_without_weight_is_left_out(backend_of):
    assert backend_of("{name: gone, port: 80, weight: 0}") is None


def test_filters_that_we_lack_break_their_rule_or_their_backend(routes_of, backend_of):
    lacking = "filters: [{type: ExtensionRef, extensionRef: {group: g.example, kind: K, name: n}}]"
    (found,) = routes_of(route(to_cart(rules=f"[{{{lacking}}}, {{}}]"))).values()
    assert [one.broken for one in found.rules] == ["filter ExtensionRef is not supported", None]
    assert (
        backend_of(f"{{name: web, port: 80, {lacking}}}").broken == "filter ExtensionRef is not supported on a backend"
    )


def test_no_limit_is_no_timeout(routes_of):
    (found,) = routes_of(route(to_cart(rules="[{timeouts: {request: 0s, backendRequest: 2s}}]"))).values()
    assert (found.rules[0].timeout, found.rules[0].backend_timeout) == (None, 2.0)


def choose(routes, path: str = "/", namespace: str = "shop", **head):
    found = applicable(routes.values(), CART, 80, namespace)
    choice = best(found, RequestHead("GET", "cart", path, **head))
    return choice.route.name if choice else None


def test_of_equal_matches_the_older_route_wins_then_the_name(routes_of):
    old = route(to_cart(), "b", created="2026-01-01T00:00:00Z")
    young = route(to_cart(), "a", created="2026-02-01T00:00:00Z")
    assert choose(routes_of(young, old)) == "b"
    assert choose(routes_of(young, old.replace("01-01", "02-01"))) == "a"


def test_a_consumers_route_is_for_its_own_namespace(routes_of):
    routes = routes_of(route(to_cart(), "producer"), route(to_cart(), "consumer", namespace="bank"))
    assert choose(routes, namespace="shop") == "producer"
    assert choose(routes, namespace="bank") == "consumer"
    assert choose(routes, namespace="park") == "producer"


def test_a_grpc_route_displaces_http_routes(routes_of):
    assert choose(routes_of(route(to_cart(), "http"), route(to_cart(), "grpc", "GRPCRoute"))) == "grpc"


def test_the_narrowest_match_wins_across_routes(routes_of):
    wide = route(to_cart(rules="[{matches: [{path: {value: /a}}]}]"), "wide", created="2026-01-01T00:00:00Z")
    narrow = route(to_cart(rules="[{matches: [{path: {value: /a/b}}]}]"), "narrow")
    exact = route(to_cart(rules="[{matches: [{path: {type: Exact, value: /a/b}}]}]"), "exact")
    header = route(to_cart(rules="[{matches: [{path: {value: /a}, headers: [{name: X, value: y}]}]}]"), "header")
    routes = routes_of(wide, narrow, exact, header)
    assert [choose(routes, path) for path in ("/a", "/a/b/c", "/a/b", "/b")] == ["wide", "narrow", "exact", None]
    assert choose(routes, "/a", headers=(("x", "y"),)) == "header"


def test_mirrors_are_carried_out_and_those_that_lead_nowhere_left_away(routes_of):
    mirrors = ", ".join(
        f"{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name}, port: 80}}{share}}}}}"
        for name, share in (
            ("web", ", percent: 25"),
            ("cart", ", fraction: {numerator: 1, denominator: 1000}"),
            ("gone", ""),
        )
    )
    (found,) = routes_of(route(to_cart(rules=f"[{{filters: [{mirrors}]}}]"))).values()
    assert found.rules[0].filters == (Mirror(WEB, 80, 0.25), Mirror(CART, 80, 0.001))
    assert found.rules[0].broken is None
