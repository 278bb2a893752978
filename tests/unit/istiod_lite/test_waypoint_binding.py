"""Who is bound to which waypoint. Whoever names one is never compiled as if there were none."""

from __future__ import annotations

import pytest

from istiod_lite.compile import Settings, compile_world
from istiod_lite.compile.waypoints import BindingState, service_binding
from istiod_lite.facts import Service
from mesh.workload import ApplicationTunnel, GatewayAddress, NamespacedHostname

CART = "shop/cart.shop.svc.cluster.local"
USE = "istio.io/use-waypoint: waypoint"
LISTENER = "{name: mesh, port: 15008, protocol: HBONE}"
READY = """
    apiVersion: v1
    kind: Pod
    metadata: {name: wp-1, namespace: NS, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
    spec: {serviceAccountName: waypoint, containers: [{name: c}]}
    status: {podIP: 10.244.9.9, conditions: [{type: Ready, status: 'True'}]}
"""


def namespace(labels: str = "", name: str = "shop") -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}"


def cart(labels: str = "") -> str:
    return f"""
        apiVersion: v1
        kind: Service
        metadata: {{name: cart, namespace: shop, labels: {{{labels}}}}}
        spec: {{clusterIP: 10.96.0.1, selector: {{app: cart}}, ports: [{{port: 80}}]}}
    """


def pod(labels: str = "") -> str:
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: cart-1, namespace: shop, labels: {{app: cart, {labels}}}}}
        spec: {{containers: [{{name: c}}]}}
        status: {{podIP: 10.244.0.1}}
    """


def gateway(labels: str = "", listener: str = LISTENER, kind: str = "istio-waypoint", where: str = "shop") -> str:
    return f"""
        apiVersion: gateway.networking.k8s.io/v1
        kind: Gateway
        metadata: {{name: waypoint, namespace: {where}, labels: {{{labels}}}}}
        spec: {{gatewayClassName: {kind}, listeners: [{listener}]}}
    """


def at(where: str = "shop", host: str = "waypoint.shop.svc.cluster.local") -> GatewayAddress:
    return GatewayAddress(NamespacedHostname(where, host), 15008)


@pytest.fixture
def bound(world_of):
    """The waypoints of the service cart and of the pod cart-1."""

    def compiled(*texts: str):
        snapshot = compile_world(world_of(*texts), Settings())
        workload = snapshot.workloads.get("Kubernetes//Pod/shop/cart-1")
        return (snapshot.services[CART].waypoint if CART in snapshot.services else None, workload and workload.waypoint)

    return compiled


def test_nobody_names_one(bound):
    assert bound(namespace(), cart(), pod(), gateway(), READY.replace("NS", "shop")) == (None, None)


@pytest.mark.parametrize("labels", [(USE, ""), ("", USE), (USE, USE)])
def test_a_service_names_one_itself_or_by_its_namespace(bound, labels):
    assert bound(namespace(labels[0]), cart(labels[1]), pod(), gateway(), READY.replace("NS", "shop")) == (at(), None)


def test_a_service_can_opt_out(bound):
    assert bound(namespace(USE), cart("istio.io/use-waypoint: none"), gateway()) == (None, None)


@pytest.mark.parametrize(
    ("traffic", "service", "workload"),
    [("service", True, False), ("workload", False, True), ("all", True, True), ("none", False, False)],
)
def test_a_waypoint_is_for_one_kind_of_traffic_or_for_both(bound, traffic, service, workload):
    made = gateway(f"istio.io/waypoint-for: {traffic}")
    assert bound(namespace(USE), cart(), pod(), made) == (at() if service else None, at() if workload else None)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        gateway(),
        gateway(listener="{name: mesh, port: 80, protocol: HTTP}"),
        gateway(kind="nginx"),
        gateway() + "---" + READY.replace("NS", "shop").replace("'True'", "'False'"),
    ],
    ids=["missing", "no pod", "not accepted", "another class", "no ready pod"],
)
def test_a_waypoint_that_cannot_serve_is_still_named_so_that_callers_are_refused(bound, broken: str):
    texts = [one for one in broken.split("---") if one]
    assert bound(namespace(), cart(USE), pod(USE), *texts)[0] == at()


def test_a_pod_that_names_a_missing_waypoint_is_bound_to_it_but_a_namespace_speaks_for_services(bound):
    assert bound(namespace(), pod(USE)) == (None, at())
    assert bound(namespace(USE), pod()) == (None, None)


SHARED = f"{USE}, istio.io/use-waypoint-namespace: infra"


@pytest.mark.parametrize(
    ("allowed", "admitted"),
    [
        ("{}", False),
        ("{from: Same}", False),
        ("{from: All}", True),
        ("{from: Selector, selector: {matchLabels: {team: a}}}", True),
        ("{from: Selector, selector: {matchLabels: {team: b}}}", False),
        ("{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: shop}}}", True),
        ("{from: Selector, selector: {matchExpressions: [{key: team, operator: NotIn, values: [b]}]}}", True),
    ],
)  # fmt: skip
def test_a_waypoint_of_another_namespace_must_admit(world_of, allowed: str, admitted: bool):
    listener = LISTENER.removesuffix("}") + f", allowedRoutes: {{namespaces: {allowed}}}}}"
    made = gateway(listener=listener, where="infra")
    world = world_of(namespace("team: a"), cart(SHARED), made, READY.replace("NS", "infra"))
    (service,) = world.all(Service)
    found = service_binding(world, service, Settings())
    assert found is not None
    if admitted:
        assert (found.state, found.address) == (BindingState.READY, at("infra", "waypoint.infra.svc.cluster.local"))
    else:
        assert found.state is BindingState.DENIED
        assert found.address == at("infra", "not-allowed.waypoint.infra.invalid")


def test_a_namespace_cannot_pass_for_another(world_of):
    listener = LISTENER.removesuffix("}")
    selector = "{matchLabels: {kubernetes.io/metadata.name: friends}}"
    allowed = f", allowedRoutes: {{namespaces: {{from: Selector, selector: {selector}}}}}}}"
    forged = namespace("kubernetes.io/metadata.name: friends")
    world = world_of(forged, cart(SHARED), gateway(listener=listener + allowed, where="infra"))
    (service,) = world.all(Service)
    found = service_binding(world, service, Settings())
    assert found is not None
    assert found.state is BindingState.DENIED


def test_waypoints_are_not_behind_waypoints(bound, world_of):
    managed = "gateway.istio.io/managed: istio.io-mesh-controller"
    assert bound(namespace(USE), cart(managed), gateway()) == (None, None)
    own = pod("gateway.networking.k8s.io/gateway-name: waypoint")
    assert bound(namespace(USE), own, gateway("istio.io/waypoint-for: all")) == (None, None)


def test_a_class_of_the_same_controller_is_a_waypoint_class_with_its_own_default(bound):
    kind = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: GatewayClass
        metadata: {name: mine, labels: {istio.io/waypoint-for: workload}}
        spec: {controllerName: istio.io/mesh-controller}
    """
    assert bound(namespace(USE), cart(), pod(), kind, gateway(kind="mine")) == (None, at())


@pytest.mark.parametrize(
    ("value", "tunnel"),
    [
        ("PROXY/15088", ApplicationTunnel(proxy_protocol=True, port=15088)),
        ("NONE/8080", ApplicationTunnel(proxy_protocol=False, port=8080)),
        ("PROXY", None),
        ("PROXY/99999", None),
        ("http/80", None),
    ],
)
def test_a_gateway_of_somebody_elses_says_how_it_wants_its_calls(
    world_of, value: str, tunnel: ApplicationTunnel | None
):
    annotated = gateway(kind="theirs").replace(
        "labels: {}", f"annotations: {{ambient.istio.io/waypoint-inbound-binding: {value}}}"
    )
    world = world_of(namespace(USE), cart(), annotated, READY.replace("NS", "shop"))
    snapshot = compile_world(world, Settings())
    waypoint = snapshot.workloads["Kubernetes//Pod/shop/wp-1"]
    assert waypoint.application_tunnel == tunnel
    assert waypoint.waypoint is None
    (service,) = world.all(Service)
    found = service_binding(world, service, Settings())
    assert found is not None
    assert (found.state is BindingState.READY) == (tunnel is not None)
