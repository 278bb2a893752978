"""TrafficPolicies: strictly read, told to the waypoint of their Service, and with a status that is true."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from istiod_lite.compile import Settings, compile_world
from istiod_lite.object import ObjectKey
from istiod_lite.publish import Publication, publish
from istiod_lite.status import document, statuses
from mesh.traffic import Rate, Share, TrafficPolicy
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


def accepted(status: dict) -> tuple[str, str]:
    [ancestor] = status["ancestors"]
    [condition] = ancestor["conditions"]
    assert condition["type"] == "Accepted"
    return condition["status"], condition["reason"]


def test_the_example_becomes_what_the_waypoint_keeps_to(world_of) -> None:
    world = world_of(NAMESPACE, SERVICES, *READY, EXAMPLE)
    snapshot = compile_world(world, Settings())
    expected = TrafficPolicy(CART, "shop", "cart", Rate(5, 1.0, 10, Share.CALLER), 100)
    assert snapshot.traffic == {CART: expected}
    shelf = publish(snapshot, Publication(), Settings().service_key).catalog[WAYPOINT_TRAFFIC]
    assert shelf.resources[CART].seen_by("shop/waypoint")
    assert not shelf.resources[CART].seen_by("shop/other")
    assert not shelf.resources[CART].seen_by(None)


def test_a_rate_says_what_it_leaves_out(world_of) -> None:
    spec = "{targetRefs: [{kind: Service, name: cart}], rateLimit: {requests: 20}}"
    found = compile_world(world_of(NAMESPACE, SERVICES, policy(spec)), Settings()).traffic[CART]
    assert (found.rate, found.requests) == (Rate(20, 1.0, 20), None)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ("{targetRefs: [{kind: Service, name: a}]}", "spec", "it limits nothing"),
        ("{maxRequests: 1}", "spec.targetRefs", "required"),
        ("{maxRequests: 0, targetRefs: [{kind: Service, name: a}]}", "spec.maxRequests", "out of range"),
        ("{maxRequests: 1, targetRefs: [{kind: Gateway, name: a}]}", "spec.targetRefs[0]", "is for Services"),
        ("{maxRequests: 1, targetRefs: [{kind: Service, name: a}, {kind: Service, name: a}]}", "spec.targetRefs[1]",
         "given twice"),
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
    assert compile_world(world, Settings()).traffic[CART].requests == 1


def test_without_a_ready_waypoint_nobody_keeps_to_it(world_of) -> None:
    key = ObjectKey("policy.ambit-mesh.dev", "TrafficPolicy", "shop", "p")
    found = statuses(world_of(NAMESPACE, SERVICES, GATEWAY, limiting("cart")), Settings())[key]
    assert accepted(found)[0] == "False"
    assert document(key, found)["apiVersion"] == "policy.ambit-mesh.dev/v1alpha1"
    again = statuses(
        world_of(NAMESPACE, SERVICES, GATEWAY, limiting("cart")), Settings(), former={key: found}, now="later"
    )
    assert again[key] == found


def test_the_schema_for_api_servers_has_the_fields_that_are_read(problems_of) -> None:
    [version] = yaml.safe_load((ROOT / "crds/trafficpolicies.yaml").read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    unknown = problems_of(policy("{zzz: 1, maxRequests: 1, targetRefs: [{kind: Service, name: a, zzz: 1}]}"))
    unknown += problems_of(policy("{rateLimit: {requests: 1, zzz: 1}, targetRefs: [{kind: Service, name: a}]}"))
    mends = {one.field: one.mend for one in unknown}
    assert mends == {
        "spec.zzz": "known here: " + ", ".join(sorted(schema)),
        "spec.targetRefs[0].zzz": "known here: " + ", ".join(sorted(schema["targetRefs"]["items"]["properties"])),
        "spec.rateLimit.zzz": "known here: " + ", ".join(sorted(schema["rateLimit"]["properties"])),
    }
