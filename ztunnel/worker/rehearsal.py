"""What every worker does once, done once before any is forked: what it leaves in memory is then shared by them all.

Measured: without it a worker has some 2 MB more of its own, most of it tables that OpenSSL builds at its first use.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import Final

import trio

from mesh import pki
from mesh.address import parse_ip
from mesh.document import policy_from, service_from, to_document, workload_from
from mesh.identity import Identity
from mesh.net.tls import ClientTls, Credentials, ServerTls, Session
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope
from mesh.workload import Membership, Port, Service, Workload
from ztunnel import question as questions

_TIMES: Final = 12
"""As often as it takes the interpreter to adapt code to what it is used for (PEP 659): it rewrites it in place."""
_FLIGHTS: Final = 2
"""Each way, in a TLS 1.3 handshake with certificates both ways (RFC 8446, section 2)."""
_ROOM: Final = 64
"""Bytes, more than one short record."""


def rehearse() -> None:
    """Go through a worker's first steps, with a throwaway authority. To be called before the collector is frozen."""
    for _ in range(_TIMES):
        trio.run(_rehearse)


async def _rehearse() -> None:
    with trio.open_signal_receiver(signal.SIGTERM):
        _shake_hands()
        _read_documents()
        _answer_question()


def _shake_hands() -> None:
    identity = Identity("rehearsal", "rehearsal", "rehearsal")
    now = datetime.now(UTC)
    authority = pki.new_authority(identity.trust_domain, now)
    key = pki.new_key()
    chain = pki.issue(authority, pki.csr(key, identity), identity, timedelta(minutes=1), now)
    if not isinstance(chain, pki.Chain):
        return
    credentials = Credentials(identity, pki.key_pem(key), chain.certificates, chain.roots)
    leaf = pki.leaf_of(credentials.chain_pem)
    pki.identity_of(leaf)
    pki.renew_at(leaf)
    server, client = ServerTls(credentials), ClientTls(credentials)
    here, there = server.session(), client.session()
    for _ in range(_FLIGHTS):
        _step(there, here)
        _step(here, there)
    server.peer(here)
    client.peer(there, frozenset((identity,)))
    out, plain = memoryview(bytearray(_ROOM)), memoryview(bytearray(_ROOM))
    here.records().decrypt(there.records().encrypt(memoryview(bytes(1)), out), plain, 0)


def _step(one: Session, other: Session) -> None:
    one.handshake()
    other.receive(one.output())


def _read_documents() -> None:
    service = Service("a", "b", "c", ports=(Port(1, 2),))
    workload = Workload("a", "b", "c", services=(Membership(service.key, (Port(1, 2),)),))
    match = Match(destination_ports=(1,))
    policy = Policy("a", "b", Scope.NAMESPACE, Action.DENY, (Rule((Clause((match,)),)),))
    service_from(to_document(service))
    workload_from(to_document(workload))
    policy_from(to_document(policy))


def _answer_question() -> None:
    asked = questions.write("a.b", 4, 1)
    read = questions.read(asked.packet) if asked is not None else None
    if isinstance(read, questions.Question):
        questions.found(questions.answer(read, "c", (parse_ip("192.0.2.1"),)), read)
