"""The TLS seam in memory: what it announces, whom it knows, and that keys stay where they are."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.identity import Identity
from mesh.net.alerts import Alert
from mesh.net.records import RecordFault, Records
from mesh.net.tls import ClientTls, HandshakeFault, PeerRefused, ServerTls, Session
from mesh.refusal import Reason
from tests.pki_for_tests import CART, STRANGER, WEB, authority, credentials

ROOM = memoryview(bytearray(600_000))


def shaken(client: ClientTls, server: ServerTls) -> tuple[Session, Session]:
    ours, theirs = client.session(), server.session()
    while not (ours.handshake() & theirs.handshake()):
        theirs.receive(ours.output())
        ours.receive(theirs.output())
    return ours, theirs


def established() -> tuple[Records, Records]:
    ours, theirs = shaken(ClientTls(credentials(WEB)), ServerTls(credentials(CART)))
    return ours.records(), theirs.records()


def test_both_ends_know_each_other() -> None:
    client, server = ClientTls(credentials(WEB)), ServerTls(credentials(CART))
    ours, theirs = shaken(client, server)
    assert client.peer(ours, frozenset([CART])) == CART
    assert server.peer(theirs) == WEB


def test_it_is_tls_1_3_with_h2() -> None:
    for end in shaken(ClientTls(credentials(WEB)), ServerTls(credentials(CART))):
        assert end._tls.get_protocol_version_name() == "TLSv1.3"
        assert end._tls.get_alpn_proto_negotiated() == b"h2"


def test_nobody_gets_a_ticket() -> None:
    ours, theirs = shaken(ClientTls(credentials(WEB)), ServerTls(credentials(CART)))
    assert theirs.output() == b""
    assert ours.records().torn == b""


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
    ours, theirs = established()
    sent = os.urandom(size)
    cipher = ours.encrypt(memoryview(sent), ROOM)
    plain, end = memoryview(bytearray(size + 16_384)), 0
    for at in range(0, len(cipher), 10_007):
        end = theirs.decrypt(memoryview(theirs.torn + cipher[at : at + 10_007]), plain, end)
    assert plain[:end] == sent
    assert not theirs.closed


def test_a_farewell_is_understood() -> None:
    ours, theirs = established()
    assert theirs.decrypt(memoryview(ours.alert(Alert.CLOSE_NOTIFY)), memoryview(bytearray(20_000)), 0) == 0
    assert theirs.closed


def test_a_forged_record_is_an_error() -> None:
    ours, theirs = established()
    cipher = ours.encrypt(memoryview(b"hello"), ROOM)
    cipher[-1] ^= 1
    with pytest.raises(RecordFault, match="forged"):
        theirs.decrypt(cipher, memoryview(bytearray(20_000)), 0)


def test_who_speaks_no_tls_is_told_at_once() -> None:
    theirs = ServerTls(credentials(CART)).session()
    theirs.receive(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(HandshakeFault, match="http request"):
        theirs.handshake()


def test_a_handshake_may_come_in_pieces_and_data_with_its_end() -> None:
    client, server = ClientTls(credentials(WEB)), ServerTls(credentials(CART))
    ours, theirs = client.session(), server.session()
    assert not ours.handshake()
    for byte in ours.output():
        theirs.receive(bytes((byte,)))
        assert not theirs.handshake()
    for byte in theirs.output():
        ours.receive(bytes((byte,)))
        done = ours.handshake()
    assert done
    finished = ours.output()
    records = ours.records()
    theirs.receive(finished + records.encrypt(memoryview(b"hello"), ROOM))
    assert theirs.handshake()
    follow, plain = theirs.records(), memoryview(bytearray(20_000))
    assert plain[: follow.decrypt(memoryview(follow.torn), plain, 0)] == b"hello"


def test_a_key_and_a_certificate_that_do_not_belong_together_are_of_no_use() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        ServerTls(replace(credentials(WEB), key_pem=credentials(WEB).key_pem))


def test_secrets_and_keys_are_not_shown_and_leave_no_file() -> None:
    papers = credentials(WEB)
    before = set(Path("/proc/self/fd").iterdir())
    ours, _ = shaken(ClientTls(papers), ServerTls(credentials(CART)))
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert "PRIVATE KEY" not in repr(papers)
    assert all(secret.hex() not in repr(ours._story) for secret in ours._story.secrets.values())
