"""Our TLS records beside OpenSSL's: any sizes, any cuts, new keys at any time, and whatever a peer makes up."""

from __future__ import annotations

import os
import random
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from mesh.net.alerts import Alert
from mesh.net.records import LARGEST, RecordFault, Records
from mesh.net.tls import ClientTls, ServerTls
from mesh.net.traffickeys import SUITES, TrafficKeys
from tests.pki_for_tests import CART, WEB, credentials

bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
sizes = st.lists(
    st.one_of(st.integers(1, 300), st.integers(LARGEST - 2, LARGEST + 2), st.integers(1, 70_000)), max_size=6
)
ROOM = memoryview(bytearray(100_000))
DATA, ALERT, HANDSHAKE = 23, 21, 22


class OpenSsl:
    """A peer that is OpenSSL from the first byte to the last."""

    def __init__(self, tls: ClientTls | ServerTls) -> None:
        self.tls = SSL.Connection(tls._context)
        self.tls.set_app_data(tls.session()._story)

    def hear(self, data: bytes) -> bytes:
        if data:
            self.tls.bio_write(data)
        heard = b""
        with suppress(SSL.WantReadError):
            while True:
                heard += self.tls.recv(100_000)
        return heard

    def say(self, data: bytes) -> bytes:
        while data:
            data = data[self.tls.send(data) :]
        return self.output()

    def output(self) -> bytes:
        said = b""
        with suppress(SSL.WantReadError):
            while True:
                said += self.tls.bio_read(100_000)
        return said


def beside_openssl(*, client: bool) -> tuple[Records, OpenSsl]:
    """Our end, and OpenSSL as the other one, after the handshake."""
    caller, called = ClientTls(credentials(WEB)), ServerTls(credentials(CART))
    ours = (caller if client else called).session()
    peer = OpenSsl(called if client else caller)
    (peer.tls.set_accept_state if client else peer.tls.set_connect_state)()
    done = False
    while not done:
        with suppress(SSL.WantReadError):
            peer.tls.do_handshake()
        ours.receive(peer.output())
        done = ours.handshake()
        if said := ours.output():
            peer.tls.bio_write(said)
    with suppress(SSL.WantReadError):
        peer.tls.do_handshake()
    return told(ours.records(), peer.output()), peer


def told(records: Records, tickets: bytes) -> Records:
    """Have it hear what carries no data."""
    assert records.decrypt(memoryview(records.torn + tickets), ROOM, 0) == 0
    return records


def pair(suite: str = "TLS_AES_128_GCM_SHA256") -> tuple[Records, Records]:
    one, other = os.urandom(SUITES[suite].secret_size), os.urandom(SUITES[suite].secret_size)
    keys = lambda secret: TrafficKeys(SUITES[suite], secret)
    return Records(keys(one), keys(other), b"", client=True), Records(keys(other), keys(one), b"", client=False)


def heard(records: Records, said: bytes, dice: random.Random) -> bytes:
    """What it makes of `said`, however that is cut."""
    plain = memoryview(bytearray(100_000))
    found = b""
    while said:
        size = dice.choice((1, 4, 5, 100, 16_000, 40_000))
        end = records.decrypt(memoryview(records.torn + said[:size]), plain, 0)
        found, said = found + plain[:end].tobytes(), said[size:]
    return found


def ask_for_new_keys(records: Records) -> bytes:
    out = memoryview(bytearray(100))
    end = records._seal(bytes((24, 0, 0, 1, 1)), HANDSHAKE, out, 0)
    records._ours.update()
    return bytes(out[:end])


def sealed(keys: TrafficKeys, inner: bytes) -> bytes:
    """A record with any inner plaintext, its type and padding included."""
    head = bytes((DATA, 3, 3)) + (len(inner) + 16).to_bytes(2)
    return head + keys.aead.encrypt(keys.nonce(), inner, head)


@bounded
@given(st.booleans(), sizes, sizes, st.lists(st.booleans(), min_size=6, max_size=6), st.integers(0, 2**32))
def test_openssl_and_we_understand_each_other(
    client: bool, out: list[int], back: list[int], updates: list[bool], seed: int
) -> None:
    dice = random.Random(seed)
    ours, peer = beside_openssl(client=client)
    for size, update in zip(out, updates, strict=False):
        data = dice.randbytes(size)
        assert peer.hear(ask_for_new_keys(ours) if update else b"") == b""
        assert peer.hear(ours.encrypt(memoryview(bytearray(data)), ROOM).tobytes()) == data
        for length in back:
            answer = dice.randbytes(length)
            assert heard(ours, peer.say(answer), dice) == answer


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("writable", [True, False])
def test_every_suite_carries_data_and_leaves_what_it_was_given_alone(suite: str, writable: bool) -> None:
    ours, theirs = pair(suite)
    data = os.urandom(60_000)
    given = bytearray(data) if writable else data
    for _ in range(3):
        said = ours.encrypt(memoryview(given), ROOM).tobytes()
        assert given == data
        assert heard(theirs, said, random.Random(1)) == data


def test_the_keys_are_those_of_rfc_8448() -> None:
    # Section 3, {client} derive write traffic keys for application data, and the record that follows.
    secret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
    record = (
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2"
        "977014bd1e3deae63aeebb21694915e4"
    )
    keys = TrafficKeys(SUITES["TLS_AES_128_GCM_SHA256"], bytes.fromhex(secret))
    ours = Records(keys, keys, b"", client=True)
    assert ours.encrypt(memoryview(bytes(range(50))), ROOM).tobytes() == bytes.fromhex(record)


def test_a_key_is_replaced_before_it_is_worn_out() -> None:
    ours, theirs = pair()
    old = ours._ours.aead
    ours._ours.number = theirs._theirs.number = 1 << 24
    assert heard(theirs, ours.encrypt(memoryview(b"hello"), ROOM).tobytes(), random.Random(1)) == b"hello"
    assert ours._ours.aead is not old
    assert ours._ours.number == theirs._theirs.number == 1


def test_who_asks_for_new_keys_gets_them_once() -> None:
    ours, theirs = pair()
    assert heard(theirs, ask_for_new_keys(ours) + ask_for_new_keys(ours), random.Random(1)) == b""
    said = theirs.encrypt(memoryview(b"hello"), ROOM).tobytes() + theirs.encrypt(memoryview(b"!"), ROOM).tobytes()
    assert heard(ours, said, random.Random(1)) == b"hello!"
    assert len(said) == (5 + 5 + 17) + (5 + 5 + 17) + (1 + 5 + 17)


@bounded
@given(st.binary(max_size=200), st.integers(0, LARGEST))
def test_padding_is_not_data(data: bytes, padding: int) -> None:
    ours, theirs = pair()
    padding = min(padding, LARGEST - len(data))
    said = sealed(ours._ours, data + bytes((DATA,)) + bytes(padding)) + sealed(ours._ours, b"." + bytes((DATA,)))
    assert heard(theirs, said, random.Random(1)) == data + b"."


@pytest.mark.parametrize(
    ("inner", "alert"),
    [
        (bytes(20), Alert.UNEXPECTED_MESSAGE),  # no type at all
        (b"\1" + bytes((20,)), Alert.UNEXPECTED_MESSAGE),  # change_cipher_spec has its place in the handshake only
        (bytes((HANDSHAKE,)), Alert.UNEXPECTED_MESSAGE),  # an empty handshake record
        (bytes((1, 0, 0, 0, HANDSHAKE)), Alert.UNEXPECTED_MESSAGE),  # another handshake
        (bytes((24, 0, 0, 2, 0, 0, HANDSHAKE)), Alert.UNEXPECTED_MESSAGE),  # new keys in two bytes
        (bytes((24, 0, 0, 1, 2, HANDSHAKE)), Alert.ILLEGAL_PARAMETER),
        (bytes((24, 0, 0, 1, 0, 24, 0, 0, 1, 0, HANDSHAKE)), Alert.UNEXPECTED_MESSAGE),
        (bytes((2, 40, 0, ALERT)), Alert.DECODE_ERROR),
        (bytes((2, 40, ALERT)), None),
        (b"x" * (LARGEST + 1) + bytes((DATA,)), Alert.RECORD_OVERFLOW),
    ],
)
def test_what_has_no_place_ends_the_connection(inner: bytes, alert: Alert | None) -> None:
    ours, theirs = pair()
    with pytest.raises(RecordFault) as fault:
        heard(theirs, sealed(ours._ours, inner), random.Random(1))
    assert fault.value.alert == alert


@pytest.mark.parametrize("inner", [bytes((DATA,)), bytes((24, 0, 0, 1, 0, HANDSHAKE)), bytes((1, 90, ALERT))])
def test_a_peer_cannot_keep_us_busy_without_data(inner: bytes) -> None:
    ours, theirs = pair()
    flood = bytearray()
    for _ in range(33):
        flood += sealed(ours._ours, inner)
        if inner[0] == 24:
            ours._ours.update()
    with pytest.raises(RecordFault, match="flood"):
        heard(theirs, bytes(flood), random.Random(1))


def test_a_server_takes_no_tickets_and_a_client_throws_them_away() -> None:
    ours, theirs = pair()
    ticket = bytes((4, 0, 1, 0)) + bytes(256)
    assert (
        heard(
            ours,
            sealed(theirs._ours, ticket[:90] + b"\x16") + sealed(theirs._ours, ticket[90:-1] + b"\0\x16"),
            random.Random(1),
        )
        == b""
    )
    with pytest.raises(RecordFault, match="no place"):
        heard(theirs, sealed(ours._ours, ticket + b"\x16"), random.Random(1))


@bounded
@given(st.data())
def test_one_changed_byte_is_found(data: st.DataObject) -> None:
    ours, theirs = pair()
    said = bytearray(ours.encrypt(memoryview(b"x" * 100), ROOM).tobytes() + bytes(70_000))
    at = data.draw(st.integers(0, 121))
    said[at] ^= data.draw(st.integers(1, 255))
    # The version of a record is of no consequence by itself, but it is sealed in.
    with pytest.raises(RecordFault):
        heard(theirs, bytes(said), random.Random(1))


@bounded
@given(st.binary(min_size=1, max_size=300))
def test_garbage_is_never_data(garbage: bytes) -> None:
    _, theirs = pair()
    with suppress(RecordFault):
        assert heard(theirs, garbage, random.Random(1)) == b""
