"""What was decided holds for as long as what is known stays the same, and not a moment longer."""

from __future__ import annotations

from ipaddress import ip_address

from mesh.address import Address
from mesh.identity import Identity
from mesh.policy import Action, Policy, Rule, Scope
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Put, Snapshot
from mesh.workload import TunnelProtocol, Workload
from ztunnel.admit import Admission, Arrival
from ztunnel.plan import Plan, Transport
from ztunnel.worker.decisions import Admissions, Directions, Introduction
from ztunnel.worker.lookup import View

HERE, THERE = ip_address("10.0.0.1"), ip_address("10.0.0.2")
WEB = Workload("c//Pod/shop/web", "web", "shop", addresses=(HERE,), tunnel=TunnelProtocol.HBONE)
DB = Workload("c//Pod/shop/db", "db", "shop", addresses=(THERE,), tunnel=TunnelProtocol.HBONE)
DENY = Policy("deny", "shop", Scope.NAMESPACE, Action.DENY, (Rule(),))
CALL = Arrival(Identity("cluster.local", "shop", "db"), THERE, Address(HERE, 15008), "10.0.0.1:80")


def view(*resources: Workload | Policy) -> View:
    return View(Snapshot.of(resources), WEB)


def test_a_direction_is_asked_for_once() -> None:
    directions, now = Directions(), view(WEB, DB)
    found = directions.of(now, Address(THERE, 80))
    assert isinstance(found, Plan)
    assert found.transport is Transport.HBONE
    assert directions.of(now, Address(THERE, 80)) is found
    assert directions.of(now, Address(THERE, 81)) is not found


def test_a_direction_is_forgotten_when_anything_changes() -> None:
    directions = Directions()
    before, after = directions.of(view(WEB), Address(THERE, 80)), directions.of(view(WEB, DB), Address(THERE, 80))
    assert isinstance(before, Plan)
    assert isinstance(after, Plan)
    assert (before.transport, after.transport) == (Transport.TCP, Transport.HBONE)


def test_an_admission_is_decided_once_and_again_when_policies_change() -> None:
    admissions, open_to_all = Admissions(), view(WEB)
    found = admissions.of(open_to_all, CALL)
    assert isinstance(found, Admission)
    assert admissions.of(open_to_all, CALL) is found
    closed = View(open_to_all.snapshot.apply([Put(DENY)]), WEB)
    refused = admissions.of(closed, CALL)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.POLICY_DENIED


def test_each_caller_is_admitted_for_itself() -> None:
    admissions, now = Admissions(), view(WEB)
    mine = admissions.of(now, CALL)
    other = admissions.of(now, Arrival(CALL.peer, ip_address("10.0.0.9"), CALL.destination, CALL.authority))
    assert isinstance(mine, Admission)
    assert isinstance(other, Admission)
    assert (mine.call.source, other.call.source) == (THERE, ip_address("10.0.0.9"))


def test_the_introduction_follows_the_workload() -> None:
    introduction = Introduction()
    assert b"k8s.namespace.name=shop" in introduction.of(view(WEB))
    moved = View(Snapshot.of([WEB]), Workload("c//Pod/else/web", "web", "else"))
    assert b"k8s.namespace.name=else" in introduction.of(moved)
