"""What a node says it would do with a connection, step by step, in the words of what it does."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address

from mesh.identity import Identity
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, TextMatch, TextMatchKind
from mesh.snapshot import Snapshot
from mesh.why import Explanation, Outcome
from mesh.workload import GatewayAddress, NamespacedHostname, Port, TunnelProtocol
from tests.unit.ztunnel.test_plan import at, member, pod, service
from ztunnel.admit import Arrival
from ztunnel.supervisor.inquiry import why
from ztunnel.why import arriving, leaving

CLIENT = pod("client", "10.0.0.1")
WEB = pod("web", "10.0.0.2", services=(member("web"),))
ONE = pod("one", "10.0.0.3", services=(member("web"),))
SERVICE = service("web", "10.96.0.1")
ALLOWS = Policy(
    "only-carol", "shop", Scope.NAMESPACE, Action.ALLOW,
    (Rule((Clause((Match(principals=(TextMatch(TextMatchKind.SUFFIX, "/carol"),)),)),)),),
)  # fmt: skip


def arrival(who: str | None) -> Arrival:
    peer = Identity("cluster.local", "shop", who) if who else None
    return Arrival(peer, ip_address("10.0.0.1"), at("10.0.0.2:15008" if who else "10.0.0.2:80"), "10.0.0.2:80")


def outcomes(explanation: Explanation) -> list[tuple[str, str]]:
    return [(step.subject, step.outcome.value) for step in explanation.steps]


def test_every_endpoint_that_may_be_chosen_is_named():
    found = leaving(Snapshot.of([CLIENT, WEB, ONE, SERVICE]), CLIENT, at("10.96.0.1:80"))
    assert outcomes(found) == [("target", "yes"), ("endpoint", "yes"), ("endpoint", "yes")]
    assert {(hop.address, hop.target, hop.tunnel) for hop in found.hops} == {
        ("10.0.0.2:15008", "10.0.0.2:8080", True),
        ("10.0.0.3:15008", "10.0.0.3:8080", True),
    }


def test_a_waypoint_is_the_next_place():
    gateway = service("waypoint", "10.96.0.9", ports=(Port(15008, 15008),))
    proxy = pod("waypoint-1", "10.0.0.9", tunnel=TunnelProtocol.NONE, services=(member("waypoint"),))
    bound = replace(SERVICE, waypoint=GatewayAddress(NamespacedHostname("shop", gateway.hostname)))
    found = leaving(Snapshot.of([CLIENT, WEB, bound, gateway, proxy]), CLIENT, at("10.96.0.1:80"))
    assert ("waypoint", "yes") in outcomes(found)
    assert [(hop.waypoint, hop.address, hop.target) for hop in found.hops] == [(True, "10.0.0.9:15008", "10.96.0.1:80")]


def test_a_refusal_says_what_ztunnels_own_says():
    found = leaving(Snapshot.of([CLIENT, WEB, SERVICE]), CLIENT, at("10.96.0.1:81"))
    assert found.steps[-1].outcome is Outcome.NO
    assert "unknown-port: service shop/web.shop.svc.cluster.local has no port 81" in found.steps[-1].text
    assert not found.hops


def test_what_the_mesh_does_not_know_is_left_alone():
    found = leaving(Snapshot.of([CLIENT]), CLIENT, at("192.0.2.1:443"))
    assert [(hop.address, hop.tunnel) for hop in found.hops] == [("192.0.2.1:443", False)]


def test_an_arrival_is_judged_policy_by_policy():
    snapshot = Snapshot.of([WEB, ALLOWS])
    carol, mallory = (arriving(snapshot, WEB, arrival(who)) for who in ("carol", "mallory"))
    assert outcomes(carol) == [("caller", "yes"), ("policy", "yes"), ("policy", "yes"), ("application", "yes")]
    assert outcomes(mallory) == [("caller", "yes"), ("policy", "beside"), ("policy", "no")]
    assert "only-carol" in mallory.steps[-1].text
    assert outcomes(arriving(snapshot, WEB, arrival(None)))[-1] == ("policy", "no")


def test_a_dry_run_is_told_and_decides_nothing():
    found = arriving(Snapshot.of([WEB, replace(ALLOWS, dry_run=True)]), WEB, arrival("carol"))
    assert outcomes(found)[1:] == [("policy", "beside"), ("policy", "yes"), ("application", "yes")]
    assert "dry run" in found.steps[1].text


def test_the_page_answers_in_json_that_can_be_read_back():
    snapshot = Snapshot.of([CLIENT, WEB, SERVICE])
    page = why(snapshot, f"from={CLIENT.uid}&to=10.96.0.1:80")
    assert Explanation.read(json.loads(page.body)) == leaving(snapshot, CLIENT, at("10.96.0.1:80"))
    page = why(snapshot, f"at={WEB.uid}&to=10.0.0.2:15008&source=10.0.0.1&peer=spiffe://cluster.local/ns/shop/sa/x"
               "&authority=10.0.0.2:80")  # fmt: skip
    assert Explanation.read(json.loads(page.body)).steps[-1].subject == "application"


def test_a_question_that_cannot_be_answered_says_what_it_lacks():
    snapshot = Snapshot.of([CLIENT])
    asked = {
        "": (400, b"lacks at="),
        "from=nobody&to=10.0.0.1:80": (404, b"no workload nobody"),
        f"from={CLIENT.uid}": (400, b"lacks to="),
        f"from={CLIENT.uid}&to=there": (400, b"there"),
        f"at={CLIENT.uid}&to=10.0.0.1:80&source=10.0.0.9&peer=me": (400, b"SPIFFE"),
    }
    for query, (status, text) in asked.items():
        page = why(snapshot, query)
        assert (page.status, text in page.body) == (status, True), (query, page)
