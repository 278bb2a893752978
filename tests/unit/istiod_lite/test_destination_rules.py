"""DestinationRules: what maps exactly is told to the waypoint, everything else is refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from istiod_lite.compile import Settings, compile_world
from istiod_lite.object import ObjectKey
from istiod_lite.status import document, statuses
from mesh.traffic import HashOn, HashSource, LoadBalancing, OutlierDetection, Spread, Terms, TrafficPolicy
from tests.unit.istiod_lite.test_statuses import ENTRY, GATEWAY, NAMESPACE, READY, SERVICES
from tests.unit.istiod_lite.test_traffic_policies import CART, limiting

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / "examples/limits/destination-rule.yaml").read_text()


def rule(spec: str, name: str = "r", created: str = "2026-01-01T00:00:00Z") -> str:
    return f"""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {{name: {name}, namespace: shop, generation: 3, creationTimestamp: "{created}"}}
        spec: {spec}
    """


def of(policy: str, host: str = "cart") -> str:
    return rule(f"{{host: {host}, trafficPolicy: {policy}}}")


def hashing(source: HashSource, name: str = "", path: str = "", ttl: float | None = None) -> LoadBalancing:
    return LoadBalancing(Spread.CONSISTENT_HASH, HashOn(source, name, path, ttl))


def test_the_example_becomes_what_its_waypoint_keeps_to(world_of) -> None:
    [found] = compile_world(world_of(NAMESPACE, SERVICES, *READY, EXAMPLE), Settings()).traffic.values()
    terms = Terms(
        requests=1000,
        connections=100,
        pending=50,
        retries=3,
        balancing=LoadBalancing(Spread.LEAST_REQUEST, slow_start=60.0),
        outliers=OutlierDetection(errors=7, interval=5.0, ejection=60.0, most_percent=50, panic_percent=30),
    )
    assert found == TrafficPolicy(CART, "shop", "cart", terms, kind="DestinationRule")
    assert found.title == "DestinationRule shop/cart"


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        ("{simple: ROUND_ROBIN}", LoadBalancing(Spread.ROUND_ROBIN)),
        ("{simple: LEAST_CONN}", LoadBalancing(Spread.LEAST_REQUEST)),
        ("{warmupDurationSecs: 30s}", LoadBalancing(Spread.LEAST_REQUEST, slow_start=30.0)),
        ("{simple: ROUND_ROBIN, warmup: {duration: 1m, minimumPercent: 10, aggression: 1.0}}",
         LoadBalancing(Spread.ROUND_ROBIN, slow_start=60.0)),
        ("{consistentHash: {httpHeaderName: X-User}}", hashing(HashSource.HEADER, "x-user")),
        ("{consistentHash: {useSourceIp: true}}", hashing(HashSource.ADDRESS)),
        ("{consistentHash: {httpCookie: {name: pod, ttl: 0s}}}", hashing(HashSource.COOKIE, "pod", "/")),
        ("{consistentHash: {httpCookie: {name: pod, path: /a, ttl: 1h}}}",
         hashing(HashSource.COOKIE, "pod", "/a", 3600.0)),
    ],
)  # fmt: skip
def test_every_load_balancer_that_there_is_here(world_of, balancer: str, expected: LoadBalancing) -> None:
    found = compile_world(world_of(NAMESPACE, SERVICES, of(f"{{loadBalancer: {balancer}}}")), Settings())
    assert found.traffic[CART].terms == Terms(balancing=expected)


@pytest.mark.parametrize(
    ("detection", "expected"),
    [
        ("{}", OutlierDetection(errors=5)),
        ("{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}", OutlierDetection(gateway_errors=3)),
        ("{consecutive5xxErrors: 0}", None),
    ],
)
def test_outlier_detection_has_istios_defaults(world_of, detection: str, expected: OutlierDetection | None) -> None:
    found = compile_world(world_of(NAMESPACE, SERVICES, of(f"{{outlierDetection: {detection}}}")), Settings())
    assert found.traffic[CART].terms == Terms(outliers=expected)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ("{}", "host", "required"),
        ("{host: cart, subsets: [{name: v1, labels: {version: v1}}]}", "subsets", "subsets is not supported"),
        ("{host: cart, workloadSelector: {matchLabels: {a: b}}}", "workloadSelector", "not supported"),
        ("{host: cart, exportTo: ['.']}", "exportTo", "every caller"),
        ("{host: cart, trafficPolicy: {tls: {mode: SIMPLE}}}", "trafficPolicy.tls", "tls is not supported"),
        ("{host: cart, trafficPolicy: {portLevelSettings: []}}", "trafficPolicy.portLevelSettings", "not supported"),
        ("{host: cart, trafficPolicy: {tunnel: {}}}", "trafficPolicy.tunnel", "not supported"),
        ("{host: cart, trafficPolicy: {loadBalancer: {simple: RANDOM}}}", "trafficPolicy.loadBalancer.simple",
         "simple: RANDOM is not supported"),
        ("{host: cart, trafficPolicy: {loadBalancer: {localityLbSetting: {}}}}",
         "trafficPolicy.loadBalancer.localityLbSetting", "not supported"),
        ("{host: cart, trafficPolicy: {loadBalancer: {warmup: {duration: 1m, aggression: 2}}}}",
         "trafficPolicy.loadBalancer.warmup.aggression", "only value"),
        ("{host: cart, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: a, ringHash: {}}}}}",
         "trafficPolicy.loadBalancer.consistentHash.ringHash", "ringHash is not supported"),
        ("{host: cart, trafficPolicy: {loadBalancer: {consistentHash: {}}}}",
         "trafficPolicy.loadBalancer.consistentHash", "exactly one"),
        ("{host: cart, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}}",
         "trafficPolicy.connectionPool.tcp.connectTimeout", "connectTimeout is not supported"),
        ("{host: cart, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}}",
         "trafficPolicy.connectionPool.http.maxRequestsPerConnection", "not supported"),
        ("{host: cart, trafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 1}}}",
         "trafficPolicy.outlierDetection.consecutiveLocalOriginFailures", "not supported"),
        ("{host: cart, trafficPolicy: {outlierDetections: {}}}", "trafficPolicy.outlierDetections", "no such field"),
    ],
)  # fmt: skip
def test_what_no_waypoint_would_keep_to_is_refused_by_name(problems_of, spec: str, field: str, message: str) -> None:
    [problem] = problems_of(rule(spec))
    assert problem.field == f"spec.{field}"
    assert message in problem.message
    assert problem.mend
    assert problem.grave


def accepted(world_of, *manifests: str) -> dict[str, tuple[str, str]]:
    found = statuses(world_of(NAMESPACE, SERVICES, *manifests), Settings())
    told = {key.name: status["conditions"] for key, status in found.items() if key.kind == "DestinationRule"}
    return {name: (one["status"], one["reason"]) for name, [one] in told.items()}


def test_a_host_is_that_of_a_service_or_an_entry_of_the_same_namespace(world_of) -> None:
    policy = "trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}"
    rules = (
        rule(f"{{host: cart.shop.svc.cluster.local, {policy}}}", "full"),
        rule(f"{{host: cart.example.com, {policy}}}", "entry"),
        rule(f"{{host: old, {policy}}}", "unbound"),
        rule(f"{{host: cart.other.svc.cluster.local, {policy}}}", "abroad"),
        rule(f"{{host: ghost, {policy}}}", "lost"),
    )
    world = world_of(NAMESPACE, SERVICES, ENTRY, *READY, *rules)
    assert set(compile_world(world, Settings()).traffic) == {
        CART,
        "shop/cart.example.com",
        "shop/old.shop.svc.cluster.local",
    }
    assert accepted(world_of, ENTRY, *READY, *rules) == {
        "full": ("True", "Accepted"),
        "entry": ("True", "Accepted"),
        "unbound": ("False", "AncestorNotBound"),
        "abroad": ("False", "TargetNotFound"),
        "lost": ("False", "TargetNotFound"),
    }


def test_the_oldest_rule_is_in_force_and_a_traffic_policy_goes_before_it(world_of) -> None:
    older, younger = rule("{host: cart}", "older"), rule("{host: cart}", "younger", "2026-01-02T00:00:00Z")
    assert accepted(world_of, *READY, older, younger) == {
        "older": ("True", "Accepted"),
        "younger": ("False", "Conflicted"),
    }
    own = limiting("cart", created="2026-01-03T00:00:00Z")
    assert accepted(world_of, *READY, older, own) == {"older": ("False", "Conflicted")}
    found = compile_world(world_of(NAMESPACE, SERVICES, older, own), Settings()).traffic[CART]
    assert (found.kind, found.terms.requests) == ("TrafficPolicy", 7)


def test_without_a_ready_waypoint_a_rule_is_not_accepted(world_of) -> None:
    key = ObjectKey("networking.istio.io", "DestinationRule", "shop", "r")
    found = statuses(world_of(NAMESPACE, SERVICES, GATEWAY, rule("{host: cart}")), Settings())[key]
    assert found["conditions"][0]["status"] == "False"
    assert document(key, found)["apiVersion"] == "networking.istio.io/v1"
