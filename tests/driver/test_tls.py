"""The TLS seam in memory: what it announces, whom it knows, and that keys stay where they are."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from mesh.identity import Identity
from mesh.net.tls import ClientTls, PeerRefused, ServerTls, Session
from mesh.refusal import Reason
from tests.pki_for_tests import CART, STRANGER, WEB, authority, credentials


def shaken(client: ClientTls, server: ServerTls) -> tuple[Session, Session]:
    ours, theirs = client.session(), server.session()
    while not (ours.handshake() & theirs.handshake()):
        theirs.incoming.write(ours.outgoing.read())
        ours.incoming.write(theirs.outgoing.read())
    return ours, theirs


def test_both_ends_know_each_other() -> None:
    client, server = ClientTls(credentials(WEB)), ServerTls(credentials(CART))
    ours, theirs = shaken(client, server)
    assert client.peer(ours, frozenset([CART])) == CART
    assert server.peer(theirs) == WEB


def test_it_is_tls_1_3_with_h2_and_without_tickets() -> None:
    ours, theirs = shaken(ClientTls(credentials(WEB)), ServerTls(credentials(CART)))
    assert ours._tls.version() == theirs._tls.version() == "TLSv1.3"
    assert ours._tls.selected_alpn_protocol() == theirs._tls.selected_alpn_protocol() == "h2"
    assert theirs.outgoing.pending == 0
    assert ours._tls.session is None or not ours._tls.session.has_ticket


@pytest.mark.parametrize("accepts", [frozenset[Identity](), frozenset([WEB]), frozenset([STRANGER])])
def test_a_server_nobody_asked_for_is_refused(accepts: frozenset[Identity]) -> None:
    client = ClientTls(credentials(WEB))
    ours, _ = shaken(client, ServerTls(credentials(CART)))
    with pytest.raises(PeerRefused) as refused:
        client.peer(ours, accepts)
    assert refused.value.reason is Reason.WRONG_IDENTITY


def test_a_client_of_another_trust_domain_is_refused() -> None:
    server = ServerTls(credentials(CART))
    _, theirs = shaken(ClientTls(credentials(STRANGER, root=authority())), server)
    with pytest.raises(PeerRefused) as refused:
        server.peer(theirs)
    assert refused.value.reason is Reason.WRONG_TRUST_DOMAIN


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 300_000])
def test_what_is_encrypted_is_decrypted_whatever_way_it_is_cut(size: int) -> None:
    ours, theirs = shaken(ClientTls(credentials(WEB)), ServerTls(credentials(CART)))
    sent = os.urandom(size)
    cipher = ours.encrypt(sent)
    plain, end = memoryview(bytearray(size + 16_384)), 0
    for at in range(0, len(cipher), 10_007):
        end = theirs.decrypt(cipher[at : at + 10_007], plain, end)
    assert plain[:end] == sent
    assert not theirs.closed


def test_a_farewell_is_understood() -> None:
    ours, theirs = shaken(ClientTls(credentials(WEB)), ServerTls(credentials(CART)))
    assert theirs.decrypt(ours.close(), memoryview(bytearray(20_000)), 0) == 0
    assert theirs.closed


def test_a_forged_record_is_an_error() -> None:
    ours, theirs = shaken(ClientTls(credentials(WEB)), ServerTls(credentials(CART)))
    cipher = bytearray(ours.encrypt(b"hello"))
    cipher[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        theirs.decrypt(bytes(cipher), memoryview(bytearray(20_000)), 0)


def test_a_key_is_not_shown_and_leaves_no_file() -> None:
    papers = credentials(WEB)
    before = set(Path("/proc/self/fd").iterdir())
    ClientTls(papers)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert "PRIVATE KEY" not in repr(papers)
