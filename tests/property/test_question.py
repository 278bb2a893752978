"""Questions for names: whatever comes, it is read or refused; what is answered, dnspython reads as it was meant."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import dns.flags
import dns.message
import dns.name
import dns.rcode
from hypothesis import given
from hypothesis import strategies as st

from ztunnel import question as questions
from ztunnel.question import Question

LABELS = st.text("abcXYZ019-_", min_size=1, max_size=20)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)
IPS = st.ip_addresses().map(lambda ip: type(ip)(int(ip))).filter(lambda ip: ip.version == 4 or ip.ipv4_mapped is None)
KINDS = st.sampled_from(["A", "AAAA"])
QUERIES = st.builds(
    lambda name, kind, payload: dns.message.make_query(name, kind, payload=payload),
    NAMES, st.sampled_from(["A", "AAAA", "SRV", "TXT", "ANY"]), st.none() | st.integers(0, 0xFFFF),
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A question of which some bytes are others, cut off somewhere."""
    packet = bytearray(draw(QUERIES).to_wire())
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(packet) - 1), st.integers(0, 255)), max_size=5)):
        packet[at] = value
    return bytes(packet[: draw(st.integers(0, len(packet)))])


@given(st.binary(max_size=80) | damaged())
def test_any_packet_is_read_or_refused_under_its_own_number(packet: bytes) -> None:
    found = questions.read(packet)
    if isinstance(found, Question):
        found = questions.failure(found)
    if found is not None:
        reply = dns.message.from_wire(found)
        assert found[:2] == packet[:2]
        assert reply.flags & dns.flags.QR
        assert reply.rcode() in {dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.SERVFAIL}


@given(st.binary(max_size=80) | damaged())
def test_any_reply_is_read_or_not_believed(packet: bytes) -> None:
    own = questions.write("db.example.com", 4, 7)
    assert own is not None
    found = questions.found(packet, own)
    assert found is None or all(isinstance(ip, IPv4Address) for ip in found.addresses)
    if questions.answers(packet, own, 7):
        assert dns.name.from_wire(packet, 12)[0] == dns.name.from_text("db.example.com")


@given(NAMES, KINDS, st.lists(IPS, max_size=120), st.none() | NAMES, st.booleans())
def test_an_answer_says_the_addresses_of_the_kind_asked_for_and_fits(name, kind, ips, alias, tcp) -> None:
    query = dns.message.make_query(name, kind, payload=1232)
    question = questions.read(query.to_wire())
    assert isinstance(question, Question)
    assert question.name == name.lower()
    packet = questions.answer(question, alias or "", ips, questions.LARGEST_TCP if tcp else None)
    reply = dns.message.from_wire(packet)
    assert query.is_response(reply)
    wanted = {ip for ip in ips if isinstance(ip, IPv4Address if kind == "A" else IPv6Address)}
    if reply.flags & dns.flags.TC:
        assert not tcp
        assert len(packet) <= 1232
        return
    said = questions.found(packet, question)
    assert said is not None
    if not alias or alias.lower() != name.lower():
        assert set(said.addresses) == wanted
    assert tcp or len(packet) <= 1232


@given(NAMES, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), NAMES)
def test_only_a_reply_to_the_same_question_under_the_same_number_is_one(name, number, other, another) -> None:
    own = questions.write(name, 4, number)
    theirs = questions.write(another, 4, number)
    assert own is not None
    assert theirs is not None
    reply = questions.failure(own)
    assert questions.answers(reply, own, number)
    assert questions.answers(questions.numbered(reply, other), own, number) == (other == number)
    assert questions.answers(questions.failure(theirs), own, number) == (name.lower() == another.lower())
    assert not questions.answers(own.packet, own, number)
