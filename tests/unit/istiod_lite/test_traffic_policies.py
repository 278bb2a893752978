"""TrafficPolicies: strictly read, told to the waypoint of their Service, and with a status that is true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from istiod_lite.compile import Settings, compile_world
from istiod_lite.object import ObjectKey
from istiod_lite.publish import Publication, publish
from istiod_lite.status import document, statuses
from mesh.traffic import (
    Abort,
    Delay,
    Faults,
    HashOn,
    HashSource,
    LoadBalancing,
    OutlierDetection,
    Rate,
    Share,
    Spread,
    Terms,
    TrafficPolicy,
)
from mesh.xds.resource import WAYPOINT_TRAFFIC
from tests.unit.istiod_lite.test_statuses import GATEWAY, NAMESPACE, READY, SERVICES

ROOT = Path(__file__).parents[3]
CART = "shop/cart.shop.svc.cluster.local"
EXAMPLE = (ROOT / "examples/limits/cart.yaml").read_text()


def policy(spec: str, name: str = "p", created: str = "2026-01-01T00:00:00Z") -> str:
    return f"""
        apiVersion: policy.ambit-mesh.dev/v1alpha1
        kind: TrafficPolicy
        metadata: {{name: {name}, namespace: shop, generation: 3, creationTimestamp: "{created}"}}
        spec: {spec}
    """


def limiting(service: str, most: int = 7, **meta: str) -> str:
    return policy(f"{{targetRefs: [{{kind: Service, name: {service}}}], maxRequests: {most}}}", **meta)


def hashing(source: HashSource, name: str = "", path: str = "", ttl: float | None = None) -> LoadBalancing:
    return LoadBalancing(Spread.CONSISTENT_HASH, HashOn(source, name, path, ttl))


def accepted(status: dict) -> tuple[str, str]:
    [ancestor] = status["ancestors"]
    [condition] = ancestor["conditions"]
    assert condition["type"] == "Accepted"
    return condition["status"], condition["reason"]


def test_the_example_becomes_what_the_waypoint_keeps_to(world_of) -> None:
    world = world_of(NAMESPACE, SERVICES, *READY, EXAMPLE)
    snapshot = compile_world(world, Settings())
    expected = TrafficPolicy(CART, "shop", "cart", Terms(Rate(5, 1.0, 10, Share.CALLER), 100))
    assert snapshot.traffic == {CART: expected}
    shelf = publish(snapshot, Publication(), Settings().service_key).catalog[WAYPOINT_TRAFFIC]
    assert shelf.resources[CART].seen_by("shop/waypoint")
    assert not shelf.resources[CART].seen_by("shop/other")
    assert not shelf.resources[CART].seen_by(None)


@pytest.mark.parametrize("example", sorted((ROOT / "examples/limits").glob("*.yaml")), ids=lambda one: one.name)
def test_every_example_can_be_read(problems_of, example: Path) -> None:
    assert problems_of(example.read_text()) == []


def test_bounds_on_connections_are_told_and_no_retry_is_a_bound_too(world_of) -> None:
    spec = "{targetRefs: [{kind: Service, name: cart}], maxConnections: 9, maxPendingRequests: 8, maxRetries: 0}"
    found = compile_world(world_of(NAMESPACE, SERVICES, policy(spec)), Settings()).traffic[CART]
    assert found.terms == Terms(connections=9, pending=8, retries=0)


def test_a_rate_says_what_it_leaves_out(world_of) -> None:
    spec = "{targetRefs: [{kind: Service, name: cart}], rateLimit: {requests: 20}}"
    found = compile_world(world_of(NAMESPACE, SERVICES, policy(spec)), Settings()).traffic[CART].terms
    assert (found.rate, found.requests) == (Rate(20, 1.0, 20), None)


@pytest.mark.parametrize(
    ("balancing", "expected"),
    [
        ("{policy: LeastLatency}", LoadBalancing()),
        ("{policy: RoundRobin}", LoadBalancing(Spread.ROUND_ROBIN)),
        ("{policy: RoundRobin, slowStart: 1m}", LoadBalancing(Spread.ROUND_ROBIN, slow_start=60.0)),
        ("{policy: LeastRequest}", LoadBalancing(Spread.LEAST_REQUEST)),
        ("{policy: ConsistentHash, hashOn: {header: X-User}}", hashing(HashSource.HEADER, "x-user")),
        ("{policy: ConsistentHash, hashOn: {cookie: {name: pod}}}", hashing(HashSource.COOKIE, "pod", "/")),
        ("{policy: ConsistentHash, hashOn: {cookie: {name: pod, path: /a, ttl: 1h}}}",
         hashing(HashSource.COOKIE, "pod", "/a", 3600.0)),
        ("{policy: ConsistentHash, hashOn: {source: Address}}", hashing(HashSource.ADDRESS)),
    ],
)  # fmt: skip
def test_every_way_to_spread_requests_is_told(world_of, balancing: str, expected: LoadBalancing) -> None:
    spec = f"{{targetRefs: [{{kind: Service, name: cart}}], loadBalancing: {balancing}}}"
    found = compile_world(world_of(NAMESPACE, SERVICES, policy(spec)), Settings()).traffic[CART]
    assert found.terms == Terms(balancing=expected)


@pytest.mark.parametrize(
    ("detection", "expected"),
    [
        ("{consecutive5xx: 5}", OutlierDetection(errors=5)),
        ("{consecutiveGatewayErrors: 3, ejectionTime: 1m}", OutlierDetection(gateway_errors=3, ejection=60.0)),
        ("{successRate: {atLeast: 90}, interval: 5s}", OutlierDetection(success_percent=90, interval=5.0)),
        ("{successRate: {atLeast: 90, minimumRequests: 100}}",
         OutlierDetection(success_percent=90, least_requests=100)),
        ("{retryAfter: true, maxEjectionPercent: 50, panicThreshold: 30}",
         OutlierDetection(retry_after=True, most_percent=50, panic_percent=30)),
    ],
)  # fmt: skip
def test_who_is_an_outlier_is_told(world_of, detection: str, expected: OutlierDetection) -> None:
    spec = f"{{targetRefs: [{{kind: Service, name: cart}}], outlierDetection: {detection}}}"
    found = compile_world(world_of(NAMESPACE, SERVICES, policy(spec)), Settings()).traffic[CART]
    assert found.terms == Terms(outliers=expected)


@pytest.mark.parametrize(
    ("detection", "field"),
    [
        ("{}", ""),
        ("{interval: 10s}", ""),
        ("{consecutive5xx: 0}", ".consecutive5xx"),
        ("{successRate: {}}", ".successRate.atLeast"),
        ("{successRate: {atLeast: 101}}", ".successRate.atLeast"),
        ("{retryAfter: true, ejectionTime: 0s}", ".ejectionTime"),
        ("{retryAfter: true, interval: 2h}", ".interval"),
        ("{retryAfter: 1}", ".retryAfter"),
        ("{retryAfter: true, panicThreshold: -1}", ".panicThreshold"),
    ],
)
def test_an_outlier_that_cannot_be_is_refused(problems_of, detection: str, field: str) -> None:
    spec = f"{{targetRefs: [{{kind: Service, name: cart}}], outlierDetection: {detection}}}"
    problems = {one.field: one for one in problems_of(policy(spec))}
    assert problems.keys() == {f"spec.outlierDetection{field}"}
    assert all(one.mend for one in problems.values())


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ("{delay: {duration: 2s}}", Faults(Delay(2.0))),
        ("{delay: {duration: 500ms, percent: 0.5}, abort: {httpStatus: 503, percent: 10}}",
         Faults(Delay(0.5, 0.5), Abort(503, None, 10.0))),
        ("{abort: {grpcStatus: UNAVAILABLE}}", Faults(None, Abort(None, 14))),
        ("{abort: {grpcStatus: UNAUTHENTICATED, httpStatus: 401}}", Faults(None, Abort(401, 16))),
    ],
)  # fmt: skip
def test_wanted_faults_are_told(world_of, faults: str, expected: Faults) -> None:
    spec = f"{{targetRefs: [{{kind: Service, name: cart}}], faults: {faults}}}"
    found = compile_world(world_of(NAMESPACE, SERVICES, policy(spec)), Settings()).traffic[CART]
    assert found.terms == Terms(faults=expected)


@pytest.mark.parametrize(
    ("faults", "field"),
    [
        ("{}", ""),
        ("{delay: {}}", ".delay.duration"),
        ("{delay: {duration: 0s}}", ".delay.duration"),
        ("{delay: {duration: 1s, percent: 101}}", ".delay.percent"),
        ("{delay: {duration: 1s, percent: most}}", ".delay.percent"),
        ("{abort: {percent: 5}}", ".abort"),
        ("{abort: {httpStatus: 200}}", ".abort.httpStatus"),
        ("{abort: {grpcStatus: OK}}", ".abort.grpcStatus"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(problems_of, faults: str, field: str) -> None:
    spec = f"{{targetRefs: [{{kind: Service, name: cart}}], faults: {faults}}}"
    problems = {one.field: one for one in problems_of(policy(spec))}
    assert problems.keys() == {f"spec.faults{field}"}
    assert all(one.mend for one in problems.values())


@pytest.mark.parametrize(
    ("balancing", "field"),
    [
        ("{}", "policy"),
        ("{policy: Random}", "policy"),
        ("{policy: ConsistentHash}", "hashOn"),
        ("{policy: RoundRobin, hashOn: {header: a}}", "hashOn"),
        ("{policy: ConsistentHash, hashOn: {}}", "hashOn"),
        ("{policy: ConsistentHash, hashOn: {header: a, source: Address}}", "hashOn"),
        ("{policy: ConsistentHash, hashOn: {header: 'a b'}}", "hashOn.header"),
        ("{policy: ConsistentHash, hashOn: {cookie: {}}}", "hashOn.cookie.name"),
        ("{policy: ConsistentHash, hashOn: {cookie: {name: a, path: '/;x'}}}", "hashOn.cookie.path"),
        ("{policy: ConsistentHash, hashOn: {cookie: {name: a, ttl: soon}}}", "hashOn.cookie.ttl"),
        ("{policy: ConsistentHash, hashOn: {source: Pod}}", "hashOn.source"),
        ("{policy: ConsistentHash, hashOn: {header: a}, slowStart: 1m}", "slowStart"),
        ("{policy: RoundRobin, slowStart: 0s}", "slowStart"),
    ],
)
def test_a_way_to_spread_requests_that_there_is_not_is_refused(problems_of, balancing: str, field: str) -> None:
    spec = f"{{targetRefs: [{{kind: Service, name: cart}}], loadBalancing: {balancing}}}"
    problems = {one.field: one for one in problems_of(policy(spec))}
    assert problems.keys() == {f"spec.loadBalancing.{field}"}
    assert all(one.mend for one in problems.values())


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ("{targetRefs: [{kind: Service, name: a}]}", "spec", "it asks for nothing"),
        ("{maxRequests: 1}", "spec.targetRefs", "required"),
        ("{maxRequests: 0, targetRefs: [{kind: Service, name: a}]}", "spec.maxRequests", "out of range"),
        ("{maxConnections: 0, targetRefs: [{kind: Service, name: a}]}", "spec.maxConnections", "out of range"),
        ("{maxPendingRequests: 0, targetRefs: [{kind: Service, name: a}]}", "spec.maxPendingRequests", "out of range"),
        ("{maxRetries: -1, targetRefs: [{kind: Service, name: a}]}", "spec.maxRetries", "out of range"),
        ("{maxRequests: 1, targetRefs: [{kind: Gateway, name: a}]}", "spec.targetRefs[0]", "is for Services"),
        ("{maxRequests: 1, targetRefs: [{kind: Service, name: a}, {kind: Service, name: a}]}", "spec.targetRefs[1]",
         "given twice"),
        ("{maxConnections: 1, targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}]}",
         "spec.maxConnections", "no endpoints of its own"),
        ("{maxRetries: 1, targetRefs: [{group: gateway.networking.k8s.io, kind: GRPCRoute, name: a}]}",
         "spec.maxRetries", "no endpoints of its own"),
        ("{maxRequests: 1, targetRefs: [{kind: HTTPRoute, name: a}]}", "spec.targetRefs[0]", "is for Services"),
        ("{rateLimit: {}, targetRefs: [{kind: Service, name: a}]}", "spec.rateLimit.requests", "required"),
        ("{rateLimit: {requests: 1, per: 2h}, targetRefs: [{kind: Service, name: a}]}", "spec.rateLimit.per", "range"),
        ("{rateLimit: {requests: 1, per: 0s}, targetRefs: [{kind: Service, name: a}]}", "spec.rateLimit.per", "range"),
        ("{rateLimit: {requests: 1, share: Pod}, targetRefs: [{kind: Service, name: a}]}", "spec.rateLimit.share",
         "not a value"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_to_is_refused_by_its_field(problems_of, spec: str, field: str, message: str) -> None:
    [problem] = problems_of(policy(spec))
    assert problem.field == field
    assert message in problem.message
    assert problem.mend


def test_the_status_says_who_keeps_to_it(world_of) -> None:
    world = world_of(
        NAMESPACE,
        SERVICES,
        *READY,
        limiting("cart", 1, name="first"),
        limiting("cart", 2, name="second", created="2026-01-02T00:00:00Z"),
        limiting("old", name="unbound"),
        limiting("ghost", name="lost"),
    )
    found = statuses(world, Settings())
    told = {key.name: accepted(status) for key, status in found.items() if key.kind == "TrafficPolicy"}
    assert told == {
        "first": ("True", "Accepted"),
        "second": ("False", "Conflicted"),
        "unbound": ("False", "AncestorNotBound"),
        "lost": ("False", "TargetNotFound"),
    }
    assert compile_world(world, Settings()).traffic[CART].terms.requests == 1


ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: cart}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: payments, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec:
  hosts: [a.example.org, b.example.org]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""


def aiming(group: str, kind: str, target: str, **meta: str) -> str:
    return policy(f"{{targetRefs: [{{group: '{group}', kind: {kind}, name: {target}}}], maxRequests: 7}}", **meta)


def test_a_policy_for_a_route_counts_for_what_comes_by_it(world_of) -> None:
    world = world_of(NAMESPACE, SERVICES, *READY, ROUTE, aiming("gateway.networking.k8s.io", "HTTPRoute", "checkout"))
    expected = TrafficPolicy(CART, "shop", "p", Terms(requests=7), "HTTPRoute/shop/checkout")
    assert compile_world(world, Settings()).traffic == {f"{CART} HTTPRoute/shop/checkout": expected}
    shelf = publish(compile_world(world, Settings()), Publication(), Settings().service_key).catalog[WAYPOINT_TRAFFIC]
    assert shelf.resources[expected.key].seen_by("shop/waypoint")


def test_a_policy_for_a_service_entry_counts_for_all_its_hosts(world_of) -> None:
    world = world_of(NAMESPACE, SERVICES, *READY, ENTRY, aiming("networking.istio.io", "ServiceEntry", "payments"))
    assert set(compile_world(world, Settings()).traffic) == {"shop/a.example.org", "shop/b.example.org"}


def test_the_status_of_a_policy_for_a_route_or_an_entry(world_of) -> None:
    gateway, istio = "gateway.networking.k8s.io", "networking.istio.io"
    loose = ROUTE.replace("name: checkout", "name: loose").replace("name: cart}]", "name: old}]")
    world = world_of(
        NAMESPACE,
        SERVICES,
        *READY,
        ROUTE,
        ENTRY,
        loose,
        aiming(gateway, "HTTPRoute", "checkout", name="route"),
        aiming(gateway, "HTTPRoute", "checkout", name="younger", created="2026-01-02T00:00:00Z"),
        aiming(gateway, "GRPCRoute", "checkout", name="grpc"),
        aiming(gateway, "HTTPRoute", "loose", name="loose"),
        aiming(istio, "ServiceEntry", "payments", name="entry"),
        limiting("cart", name="service"),
    )
    found = statuses(world, Settings())
    told = {key.name: accepted(status) for key, status in found.items() if key.kind == "TrafficPolicy"}
    assert told == {
        "route": ("True", "Accepted"),
        "younger": ("False", "Conflicted"),
        "grpc": ("False", "TargetNotFound"),
        "loose": ("False", "AncestorNotBound"),
        "entry": ("True", "Accepted"),
        "service": ("True", "Accepted"),
    }
    key = ObjectKey("policy.ambit-mesh.dev", "TrafficPolicy", "shop", "route")
    [ancestor] = found[key]["ancestors"]
    assert ancestor["ancestorRef"] == {"group": gateway, "kind": "HTTPRoute", "name": "checkout"}


def test_without_a_ready_waypoint_nobody_keeps_to_it(world_of) -> None:
    key = ObjectKey("policy.ambit-mesh.dev", "TrafficPolicy", "shop", "p")
    found = statuses(world_of(NAMESPACE, SERVICES, GATEWAY, limiting("cart")), Settings())[key]
    assert accepted(found)[0] == "False"
    assert document(key, found)["apiVersion"] == "policy.ambit-mesh.dev/v1alpha1"
    again = statuses(
        world_of(NAMESPACE, SERVICES, GATEWAY, limiting("cart")), Settings(), former={key: found}, now="later"
    )
    assert again[key] == found


@pytest.mark.parametrize(
    "place",
    [
        "",
        "targetRefs[0]",
        "rateLimit",
        "loadBalancing",
        "loadBalancing.hashOn",
        "loadBalancing.hashOn.cookie",
        "outlierDetection",
        "outlierDetection.successRate",
        "faults",
        "faults.delay",
        "faults.abort",
    ],
)
def test_the_schema_for_api_servers_has_the_fields_that_are_read(problems_of, place: str) -> None:
    [version] = yaml.safe_load((ROOT / "crds/trafficpolicies.yaml").read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    stranger: dict = {"zzz": 1}
    for step in reversed(place.split(".") if place else []):
        stranger = {step.removesuffix("[0]"): [stranger] if step.endswith("[0]") else stranger}
    for step in place.split(".") if place else []:
        found = schema["properties"][step.removesuffix("[0]")]
        schema = found["items"] if step.endswith("[0]") else found
    mends = {one.field: one.mend for one in problems_of(policy(json.dumps(stranger)))}
    assert mends[".".join(filter(None, ("spec", place, "zzz")))] == "known here: " + ", ".join(
        sorted(schema["properties"])
    )
