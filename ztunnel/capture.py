"""How a pod's traffic reaches its worker: the text of the nftables ruleset and of the routing commands.

All of it stands in the pod's own network namespace, in one table of our own, so that it is put in place, relaxed and
removed in one transaction each. Marks, ports, zones and routes are those of Istio ambient.

- outbound: what the pod's processes open goes to 15001;
- inbound: what others open to the pod goes to 15006, except to 15008, where the worker itself listens;
- questions for names, UDP and TCP to port 53 wherever they are bound for, go to 15053, unless the pod opted out;
- the worker's own packets carry `PACKET_MARK` and pass;
- the worker calls the application under the caller's address. The application's answers to that foreign address must
  come back to the worker instead of leaving the pod: the connection is marked as it passes the loopback device, its
  answers take the mark over, and a routing rule delivers what is so marked locally.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

OUTBOUND_PORT: Final = 15001
INBOUND_PLAINTEXT_PORT: Final = 15006
INBOUND_PORT: Final = 15008
NAMES_PORT: Final = 15053
"""On the pod's loopback only."""

PACKET_MARK: Final = 0x539
"""On every packet that a worker sends."""

RETURN_MARK: Final = 0x111
"""On a connection that a worker opened to the application, and on its answers."""

MARK_MASK: Final = 0xFFF
"""The bits of a mark that are ours; others may use the rest."""

TABLE: Final = "ambit"
ROUTE_TABLE: Final = 100
RULE_PREFERENCE: Final = 32764


@dataclass(frozen=True, slots=True)
class Probes:
    """The addresses that the node's kubelet probes pods from: let pass uncaptured, for it has no identity to show."""

    v4: IPv4Address
    v6: IPv6Address


ISTIO_PROBES: Final = Probes(IPv4Address("169.254.7.127"), IPv6Address("fd16:9254:7127:1337:ffff:ffff:ffff:ffff"))
"""Those that Istio's CNI agent rewrites the kubelet's address to."""


_FIRST_PACKET: Final = "tcp flags & (fin | syn | rst | ack) == syn"
_OWN: Final = f"meta mark & {MARK_MASK:#x} == {PACKET_MARK:#x}"
_NOT_OWN: Final = f"meta mark & {MARK_MASK:#x} != {PACKET_MARK:#x}"
_DNS: Final = 53
_ZONE: Final = 1
_RETURNING: Final = f"{MARK_MASK:#x} == {RETURN_MARK:#x}"

_FRAME: Final = """\
add table inet {table}
delete table inet {table}
table inet {table} {{
    chain mark-returning {{
        type filter hook prerouting priority mangle; policy accept;
        {own} ct mark set ct mark & {others:#x} | {returning:#x}
    }}
    chain restore-returning {{
        type route hook output priority mangle; policy accept;
        ct mark & {is_returning} meta mark set ct mark
    }}
    chain part-questions {{
        type filter hook output priority raw; policy accept;
{questions}    }}
    chain part-answers {{
        type filter hook prerouting priority raw; policy accept;
{answers}    }}
    chain inbound {{
        type nat hook prerouting priority dstnat; policy accept;
{inbound}    }}
    chain outbound {{
        type nat hook output priority -100; policy accept;
{outbound}    }}
}}
"""


def ruleset(probes: Probes, *, names: bool = True) -> str:
    """What `nft -f` puts in place to capture a pod; replaces whatever stood in our table before.

    `names` is whether its questions for names are captured too. Those that the worker passes on are kept in a
    conntrack zone of their own: from the same port they would be taken for the captured ones.

    Only a connection's first packet is redirected: one that was open before the pod was enrolled is no conntrack's yet,
    and would otherwise be torn from its peer in the middle.
    """
    inbound = (
        'iifname "lo" accept',
        f"ip saddr {probes.v4} accept",
        f"ip6 saddr {probes.v6} accept",
        f"{_OWN} accept",
        f"tcp dport {INBOUND_PORT} accept",
        f"{_FIRST_PACKET} redirect to :{INBOUND_PLAINTEXT_PORT}",
    )
    outbound = (
        'oifname "lo" accept',
        f"ip daddr {probes.v4} accept",
        f"ip6 daddr {probes.v6} accept",
        f"meta mark & {_RETURNING} accept",
        f"{_OWN} accept",
        *((f"udp dport {_DNS} redirect to :{NAMES_PORT}",) if names else ()),
        *((f"tcp dport {_DNS} {_FIRST_PACKET} redirect to :{NAMES_PORT}",) if names else ()),
        f"{_FIRST_PACKET} redirect to :{OUTBOUND_PORT}",
    )
    return _fill(inbound, outbound, names=names)


def relaxed_ruleset() -> str:
    """What replaces it when the pod leaves: captures nothing any more, but established connections go on.

    The kernel translates the addresses of redirected connections only as long as a NAT chain stands in the namespace,
    and the worker's connections to the application need their marks until they end.
    """
    return _fill((), (), names=False)


def no_ruleset() -> str:
    """What removes our table and all in it; nothing happens if there is none."""
    return f"add table inet {TABLE}\ndelete table inet {TABLE}\n"


def routing(version: int) -> tuple[str, ...]:
    """The `ip -<version> -batch` lines that deliver returning packets locally; a rule that exists is no fault."""
    return (
        f"route replace local {_everything(version)} dev lo table {ROUTE_TABLE}",
        f"rule add {_rule()}",
    )


def no_routing(version: int) -> tuple[str, ...]:
    """The lines that take `routing` back; what is missing already is no fault."""
    return (
        f"rule del {_rule()}",
        f"route del local {_everything(version)} dev lo table {ROUTE_TABLE}",
    )


def _fill(inbound: tuple[str, ...], outbound: tuple[str, ...], *, names: bool) -> str:
    questions = (f"{_OWN} udp dport {_DNS} ct zone set {_ZONE}",) if names else ()
    answers = (f"{_NOT_OWN} udp sport {_DNS} ct zone set {_ZONE}",) if names else ()
    return _FRAME.format(
        table=TABLE,
        own=_OWN,
        others=0xFFFFFFFF & ~MARK_MASK,
        returning=RETURN_MARK,
        is_returning=_RETURNING,
        questions=_lines(questions),
        answers=_lines(answers),
        inbound=_lines(inbound),
        outbound=_lines(outbound),
    )


def _lines(rules: tuple[str, ...]) -> str:
    return "".join(f"        {rule}\n" for rule in rules)


def _rule() -> str:
    return f"pref {RULE_PREFERENCE} fwmark {RETURN_MARK:#x}/{MARK_MASK:#x} lookup {ROUTE_TABLE}"


def _everything(version: int) -> str:
    return "0.0.0.0/0" if version == 4 else "::/0"
