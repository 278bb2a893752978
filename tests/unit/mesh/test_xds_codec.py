"""What a control plane may send that is not to be believed, and what it leaves out."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, TextMatch, TextMatchKind
from mesh.snapshot import Drop, Put, Snapshot
from mesh.workload import Workload
from mesh.xds import codec
from mesh.xds.codec import Rejection
from mesh.xds.intake import take
from mesh.xds.pb import authorization_pb2, discovery_pb2, waypoint_pb2, workload_pb2
from mesh.xds.resource import ADDRESS, AUTHORIZATION, WAYPOINT_POLICY, WAYPOINT_ROUTE
from mesh.xds.subscriber import Subscriber

EXTENSION = authorization_pb2.Extension(name="moon-phase")


def address(**fields: object) -> bytes:
    fields = {"uid": "u", "name": "web", "namespace": "shop", **fields}
    return workload_pb2.Address(workload=workload_pb2.Workload(**fields)).SerializeToString()


def policy(**fields: object) -> bytes:
    return authorization_pb2.Authorization(**{"name": "p", "namespace": "shop", **fields}).SerializeToString()


def with_match(match: authorization_pb2.Match) -> bytes:
    return policy(rules=[authorization_pb2.Rule(clauses=[authorization_pb2.Clause(matches=[match])])])


def test_what_is_left_out_has_the_protocols_defaults() -> None:
    assert codec.decode(ADDRESS, "u", address()) == Workload(
        uid="u", name="web", namespace="shop", service_account="default", trust_domain="cluster.local",
        cluster_id="Kubernetes", capacity=1, workload_type="deployment",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("type_url", "body", "reason"),
    [
        (ADDRESS, workload_pb2.Address().SerializeToString(), "neither a workload nor a service"),
        (ADDRESS, address(uid=""), "without uid"),
        (ADDRESS, address(uid="other"), "contains 'other'"),
        (ADDRESS, address(addresses=[b"\x0a\x00\x00"]), "3 bytes"),
        (ADDRESS, address(tunnel_protocol=9), "unknown tunnel protocol"),
        (ADDRESS, address(waypoint=workload_pb2.GatewayAddress()), "without port"),
        (ADDRESS, address(waypoint=workload_pb2.GatewayAddress(hbone_mtls_port=15008)), "without address"),
        (ADDRESS, address(waypoint=workload_pb2.GatewayAddress(hbone_mtls_port=70000)), "no port"),
        (AUTHORIZATION, policy(name=""), "without name"),
        (AUTHORIZATION, policy(action=7), "unknown scope"),
        (AUTHORIZATION, with_match(authorization_pb2.Match(extensions=[EXTENSION])), "moon-phase"),
        (
            AUTHORIZATION,
            with_match(authorization_pb2.Match(principals=[authorization_pb2.StringMatch()])),
            "says nothing",
        ),
        (AUTHORIZATION, with_match(authorization_pb2.Match(destination_ports=[70000])), "no port"),
        (
            AUTHORIZATION,
            with_match(authorization_pb2.Match(source_ips=[authorization_pb2.Address(address=b"\n\0\0\0", length=33)])),
            "prefix of 33 bits",
        ),
        (WAYPOINT_ROUTE, waypoint_pb2.Route(key="u").SerializeToString(), "unknown kind"),
        (WAYPOINT_POLICY, waypoint_pb2.Policy(name="p").SerializeToString(), "unknown action"),
        ("type.googleapis.com/envoy.Cluster", b"", "not asked for"),
    ],
)
def test_what_cannot_be_relied_on_is_rejected_with_the_reason(type_url: str, body: bytes, reason: str) -> None:
    found = codec.decode(type_url, "u", body)
    assert isinstance(found, Rejection)
    assert reason in found.reason


def test_equal_values_have_equal_versions_and_others_do_not() -> None:
    one = Workload(uid="u", name="web", namespace="shop", addresses=(IPv4Address("10.0.0.1"),))
    assert codec.encode(one) == codec.encode(one)
    assert codec.encode(one).version != codec.encode(Workload(uid="u", name="web", namespace="bank")).version
    assert codec.encode(one).aliases == ("/10.0.0.1",)


def test_a_nodes_policy_cannot_carry_what_only_a_waypoint_checks() -> None:
    match = Match(paths=(TextMatch(TextMatchKind.EXACT, "/admin"),))
    layer_7 = Policy("p", "shop", Scope.NAMESPACE, Action.DENY, (Rule((Clause((match,)),)),))
    with pytest.raises(ValueError, match="layer 7"):
        codec.encode(layer_7)


def response(type_url: str, *policies: Policy, removed: tuple[str, ...] = ()) -> discovery_pb2.DeltaDiscoveryResponse:
    found = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, removed_resources=removed)
    for one in policies:
        resource = codec.encode(one)
        added = found.resources.add(name=resource.name, version=resource.version)
        added.resource.type_url, added.resource.value = type_url, resource.body
    return found


def test_a_policy_that_moves_to_a_waypoint_survives_its_removal_as_a_nodes_policy() -> None:
    before = Policy("p", "shop", Scope.NAMESPACE, Action.DENY)
    after = Policy("p", "shop", Scope.TARGET, Action.DENY)
    subscriber = Subscriber(discovery_pb2.Node(), [AUTHORIZATION, WAYPOINT_POLICY])
    snapshot = Snapshot()
    steps = [
        response(AUTHORIZATION, before),
        response(WAYPOINT_POLICY, after),
        response(AUTHORIZATION, removed=("shop/p",)),
    ]
    for step in steps:
        delivery = subscriber.receive(step)
        assert delivery is not None
        intake = take(subscriber, delivery)
        snapshot = snapshot.apply(intake.changes)
        subscriber.settle(delivery)
    assert snapshot.policies == {"shop/p": after}


def test_a_response_is_taken_apart_into_the_good_and_the_bad() -> None:
    subscriber = Subscriber(discovery_pb2.Node(), [ADDRESS])
    mixed = discovery_pb2.DeltaDiscoveryResponse(type_url=ADDRESS, nonce="7", removed_resources=["gone"])
    for name, body, url in [("u", address(), ADDRESS), ("bad", b"\xff", ADDRESS), ("odd", b"", AUTHORIZATION)]:
        added = mixed.resources.add(name=name, version="1")
        added.resource.type_url, added.resource.value = url, body
    delivery = subscriber.receive(mixed)
    assert delivery is not None
    intake = take(subscriber, delivery)
    assert [change for change in intake.changes if isinstance(change, Drop)] == list(codec.drops(ADDRESS, "gone"))
    assert [change.resource.uid for change in intake.changes if isinstance(change, Put)] == ["u"]
    assert {one.name for one in intake.rejections} == {"bad", "odd"}
    answer = subscriber.settle(delivery, [(one.name, one.reason) for one in intake.rejections])
    assert answer.response_nonce == "7"
    assert "bad: " in answer.error_detail.message
    assert subscriber.holds(ADDRESS, "u")
    assert not subscriber.holds(ADDRESS, "bad")
    assert dict(subscriber.opening()[0].initial_resource_versions) == {"u": "1"}
