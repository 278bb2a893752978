"""A policy that cannot be read protects all the same: what it is for is denied until it is mended."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from istiod_lite.compile import Settings, compile_world
from istiod_lite.readings import Readings
from istiod_lite.status import statuses
from mesh.address import Address
from mesh.identity import Identity
from mesh.verdict import Call, authorize

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: shop, labels: {app: NAME}}
spec: {containers: [{name: c}]}
status: {podIP: 10.244.0.1}
---
"""
PODS = POD.replace("NAME", "cart") + POD.replace("NAME", "web").replace("0.1", "0.2")
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: NS}
spec: """
PEERS = POLICY.replace("AuthorizationPolicy", "PeerAuthentication")
GOOD = "{selector: {matchLabels: {app: cart}}, rules: [{}]}"
BAD = "{selector: {matchLabels: {app: cart}}, rulez: [{}]}"


def allowed(world, *, identity: bool = True) -> set[str]:
    """The pods that take a call."""
    snapshot = compile_world(world, Settings())
    who = Identity("cluster.local", "shop", "x") if identity else None
    call = Call(who, ip_address("10.244.0.9"), Address(ip_address("10.244.0.1"), 80))
    return {one.name for one in snapshot.workloads.values() if authorize(snapshot.policies_for(one), call).allowed}


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (POLICY.replace("NS", "shop") + GOOD, {"cart", "web"}),
        (POLICY.replace("NS", "shop") + BAD, {"web"}),
        (POLICY.replace("NS", "shop") + "{selector: {matchLabel: {app: cart}}}", set()),
        (POLICY.replace("NS", "shop") + "[]", set()),
        (POLICY.replace("NS", "istio-system") + "{action: NEIN}", set()),
        (POLICY.replace("NS", "bank") + "{action: NEIN}", {"cart", "web"}),
        (POLICY.replace("NS", "shop").replace("io/v1", "io/v9") + GOOD, {"web"}),
    ],
)
def test_what_a_broken_policy_is_for_is_denied(policy: str, left: set[str]):
    outcome = Readings().update({"a.yaml": PODS + policy})
    assert allowed(outcome.world) == left


def test_what_a_broken_peer_authentication_is_for_takes_no_plain_text():
    outcome = Readings().update({"a.yaml": PODS + PEERS.replace("NS", "shop") + "{mtls: {mode: STRIKT}}"})
    assert allowed(outcome.world) == {"cart", "web"}
    assert allowed(outcome.world, identity=False) == set()


def test_a_policy_that_was_good_once_stays_in_force_as_it_was():
    readings = Readings()
    readings.update({"a.yaml": PODS + POLICY.replace("NS", "shop") + GOOD})
    outcome = readings.update({"a.yaml": PODS + POLICY.replace("NS", "shop") + BAD})
    assert [one.field for one in outcome.problems] == ["spec.rulez"]
    assert allowed(outcome.world) == {"cart", "web"}


def test_the_status_says_so():
    outcome = Readings().update({"a.yaml": PODS + POLICY.replace("NS", "shop") + BAD})
    ((_, status),) = statuses(outcome.world, Settings()).items()
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("ZtunnelAccepted", "False", "Invalid")
    assert condition["message"] == (
        "it cannot be read, so all that it is for is denied: spec.rulez: there is no such field"
    )


def test_a_kind_that_is_not_implemented_has_no_stand_in():
    text = "apiVersion: security.istio.io/v1\nkind: Telemetry\nmetadata: {name: a, namespace: shop}"
    assert allowed(Readings().update({"a.yaml": f"{PODS}{text}"}).world) == {"cart", "web"}
