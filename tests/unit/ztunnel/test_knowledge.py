"""What a worker knows, for which addresses it is complete, and what it forgets."""

from __future__ import annotations

from ipaddress import ip_address

from mesh.snapshot import Drop, Put
from mesh.workload import Workload
from ztunnel.channel.message import Update
from ztunnel.worker.knowledge import Asking, Knowledge

OWN = Workload("own", "web", "shop")
DB = Workload("db", "db", "shop", addresses=(ip_address("10.0.0.2"),))
A, B, C = (ip_address(f"10.0.0.{n}") for n in (1, 2, 3))


def test_an_address_is_asked_about_once_and_known_when_answered() -> None:
    knowledge = Knowledge()
    assert [knowledge.look(A), knowledge.look(A)] == [Asking.NEEDED, Asking.UNDER_WAY]
    knowledge.take(Update(OWN.uid, (Put(OWN), Put(DB))))
    assert knowledge.look(A) is Asking.UNDER_WAY
    knowledge.take(Update(OWN.uid, (), (A,)))
    assert knowledge.look(A) is Asking.ANSWERED
    assert knowledge.own == OWN


def test_an_answer_that_was_not_asked_for_counts_for_nothing() -> None:
    knowledge = Knowledge()
    knowledge.take(Update(OWN.uid, (), (A,)))
    assert knowledge.look(A) is Asking.NEEDED


def test_after_a_whole_update_only_what_it_answers_is_known() -> None:
    knowledge = Knowledge()
    for ip in (A, B):
        knowledge.look(ip)
    knowledge.take(Update(OWN.uid, (Put(OWN), Put(DB)), (A, B)))
    knowledge.take(Update(OWN.uid, (Put(OWN),), (B,), whole=True))
    assert [knowledge.look(A), knowledge.look(B)] == [Asking.UNDER_WAY, Asking.ANSWERED]
    assert knowledge.snapshot.workloads == {"own": OWN}


def test_everything_asked_is_asked_again_of_the_next_supervisor() -> None:
    knowledge = Knowledge()
    for ip in (A, B):
        knowledge.look(ip)
    knowledge.take(Update(OWN.uid, (), (A,)))
    assert set(knowledge.asked) == {A, B}


def test_what_was_longest_unused_is_forgotten_first() -> None:
    knowledge = Knowledge(most=2)
    for ip in (A, B):
        knowledge.look(ip)
    knowledge.take(Update(OWN.uid, (), (A, B)))
    knowledge.look(A)
    assert knowledge.look(C) is Asking.NEEDED
    assert knowledge.surplus() == (B,)
    assert knowledge.look(B) is Asking.NEEDED


def test_open_questions_are_not_forgotten_but_bounded() -> None:
    knowledge = Knowledge(most=2)
    for ip in (A, B):
        knowledge.look(ip)
    assert knowledge.surplus() == ()
    assert knowledge.look(C) is Asking.FULL


def test_a_pod_that_was_deleted_is_nobody() -> None:
    knowledge = Knowledge()
    knowledge.take(Update(OWN.uid, (Put(OWN),)))
    knowledge.take(Update(None, (Drop(Workload, OWN.uid),)))
    assert knowledge.own is None
