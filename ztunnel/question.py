"""Questions for names as they travel (RFC 1035, RFC 6891): what is asked, and the replies to it. Pure.

A packet that is no question of ours to answer is refused here, so that only well-formed ones are passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.OPT
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rrset

from mesh.address import IP, parse_ip

TTL: Final = 30
"""Seconds that a process may go on with an answer; as long as with Istio."""

LARGEST_TCP: Final = 0xFFFF
_LARGEST_UDP: Final = 1232
"""Bytes that pass every network unfragmented (DNS flag day 2020)."""
_PLAIN_UDP: Final = 512
_HEADER: Final = 12
_VERSIONS: Final = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}
_TRY_ANOTHER: Final = frozenset({dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `name` is in lower case and has no final dot; empty for the root."""

    packet: bytes
    message: dns.message.Message
    name: str

    @property
    def kind(self) -> str:
        """The type asked for: `A`, `AAAA` or `other`."""
        entry = self.message.question[0]
        inside = entry.rdclass == dns.rdataclass.IN and entry.rdtype in _VERSIONS
        return entry.rdtype.name if inside else "other"


@dataclass(frozen=True, slots=True)
class Found:
    """What a name server said of a host name's addresses, and for how many seconds it holds."""

    addresses: tuple[IP, ...]
    ttl: int


def read(packet: bytes) -> Question | bytes | None:
    """The question in a packet; else the reply that refuses it; None for what deserves no reply."""
    if len(packet) < _HEADER or packet[2] & 0x80:
        return None
    if packet[2] >> 3 & 0x0F != dns.opcode.QUERY:
        return _refused(packet, dns.rcode.NOTIMP)
    try:
        message = dns.message.from_wire(packet)
    except (dns.exception.DNSException, ValueError):
        return _refused(packet, dns.rcode.FORMERR)
    if len(message.question) != 1:
        return _refused(packet, dns.rcode.FORMERR)
    name = message.question[0].name.to_text(omit_final_dot=True).lower()
    return Question(packet, message, name)


def write(hostname: str, version: int, number: int) -> Question | None:
    """Our own question for a host name's addresses of an IP version; None if it is no name."""
    try:
        name = dns.name.from_text(hostname)
        message = dns.message.make_query(
            name, dns.rdatatype.A if version == 4 else dns.rdatatype.AAAA, id=number, payload=_LARGEST_UDP
        )
        return Question(message.to_wire(), message, hostname)
    except dns.exception.DNSException:
        return None


def answer(question: Question, alias: str, addresses: Sequence[IP], most: int | None = None) -> bytes:
    """The reply that these are the addresses, in this order; those of the other IP version are left out.

    `alias` is the name that has them, if not the one that was asked for. `most` is how many bytes the reply may have:
    what the question says if None. One that is too long says so, and the question comes again by TCP.
    """
    response = dns.message.make_response(question.message, recursion_available=True)
    response.flags |= dns.flags.AA
    entry = question.message.question[0]
    texts = [str(ip) for ip in addresses if ip.version == _VERSIONS[entry.rdtype]]
    owner = entry.name
    if texts and alias:
        owner = dns.name.from_text(alias)
        response.answer.append(dns.rrset.from_text(entry.name, TTL, dns.rdataclass.IN, "CNAME", owner.to_text()))
    if texts:
        response.answer.append(dns.rrset.from_text_list(owner, TTL, dns.rdataclass.IN, entry.rdtype, texts))
    try:
        return response.to_wire(max_size=_room(question.message) if most is None else most)
    except dns.exception.TooBig:
        short = dns.message.make_response(question.message, recursion_available=True)
        short.flags |= dns.flags.AA | dns.flags.TC
        return short.to_wire()


def failure(question: Question) -> bytes:
    """The reply that nobody could answer (SERVFAIL)."""
    response = dns.message.make_response(question.message, recursion_available=True)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response.to_wire()


def numbered(packet: bytes, number: int) -> bytes:
    """The packet under another number: the one that the other side chose is not to be guessed from it."""
    return number.to_bytes(2, "big") + packet[2:]


def answers(reply: bytes, question: Question, number: int) -> bool:
    """Whether a packet is a reply to the question as it was sent under this number."""
    end = _HEADER + len(question.message.question[0].name.to_digestable()) + 4
    same = reply[_HEADER:end].lower() == question.packet[_HEADER:end].lower()
    return len(reply) >= end and reply[:2] == number.to_bytes(2, "big") and bool(reply[2] & 0x80) and same


def inconclusive(reply: bytes) -> bool:
    """Whether another server may know better."""
    return reply[3] & 0x0F in _TRY_ANOTHER


def found(reply: bytes, question: Question) -> Found | None:
    """The addresses in a reply to a question of ours, aliases followed; None if they cannot be read from it."""
    try:
        message = dns.message.from_wire(reply)
        if not isinstance(message, dns.message.QueryMessage):
            return None
        chain = message.resolve_chaining()
    except (dns.exception.DNSException, ValueError):
        return None
    wanted = question.message.question[0].rdtype
    texts = [str(one) for one in chain.answer or () if one.rdtype == wanted]
    return Found(tuple(parse_ip(text) for text in texts), chain.minimum_ttl)


def _room(message: dns.message.Message) -> int:
    return min(max(message.payload, _PLAIN_UDP), _LARGEST_UDP) if message.edns >= 0 else _PLAIN_UDP


def _refused(packet: bytes, code: dns.rcode.Rcode) -> bytes:
    """A header and nothing else: what could not be read is not repeated."""
    return packet[:2] + bytes((0x80 | packet[2] & 0x79, code)) + bytes(8)
