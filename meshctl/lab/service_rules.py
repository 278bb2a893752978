"""kube-proxy's part: nftables text that turns virtual addresses into endpoints.

The base is laid once per node. A change empties and refills one chain and one set in one transaction; connections
that are established keep the translation they began with, as conntrack remembers it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from meshctl.lab.addressing import DNS, SERVICES, SERVICES_V6, twin
from meshctl.lab.endpoints import Backed, Endpoint, ServicePort


@dataclass(frozen=True, slots=True)
class _Family:
    """IPv4 or IPv6, in nftables' words, and what of its service range is not translated."""

    name: str
    address_type: str
    unserved: str

    def endpoint(self, one: Endpoint) -> IPv4Address | IPv6Address:
        return one.address if self.name == "ip" else twin(one.address)

    def virtual(self, backed: Backed) -> IPv4Address | IPv6Address | None:
        return backed.address if self.name == "ip" else backed.address_v6


_V4 = _Family("ip", "ipv4_addr", f"ip daddr {SERVICES} ip daddr != {DNS}")
_V6 = _Family("ip6", "ipv6_addr", f"ip6 daddr {SERVICES_V6}")

_BASE = """\
table {name} services {{
	set hairpin {{ type {address_type} . {address_type}; }}
	chain addresses {{ }}
	chain arriving {{ type nat hook prerouting priority -100; jump addresses; }}
	chain leaving {{ type nat hook output priority -100; jump addresses; }}
	chain to-oneself {{ type nat hook postrouting priority 100; {name} saddr . {name} daddr @hairpin masquerade; }}
	chain unserved {{ {unserved} reject; }}
	chain unserved-arriving {{ type filter hook prerouting priority -90; jump unserved; }}
	chain unserved-leaving {{ type filter hook output priority -90; jump unserved; }}
}}
"""
"""What is still addressed to a virtual address after translation has no endpoint: rejected at once, not lost.

A pod that reaches itself through a Service would see its own address as the sender and drop it: masqueraded."""


def base(*, dual: bool) -> str:
    """Return what is laid once in every node."""
    return "".join(
        _BASE.format(name=one.name, address_type=one.address_type, unserved=one.unserved) for one in _families(dual)
    )


def service_rules(services: Iterable[Backed], *, dual: bool = False) -> str:
    """Return one transaction that makes a node's rules say what `services` say."""
    served = list(services)
    return "".join(_rules(served, family) for family in _families(dual))


def _families(dual: bool) -> tuple[_Family, ...]:
    return (_V4, _V6) if dual else (_V4,)


def _rules(served: list[Backed], family: _Family) -> str:
    name = family.name
    lines = [f"flush chain {name} services addresses", f"flush set {name} services hairpin"]
    endpoints = {one.address: one for backed in served for port in backed.ports for one in port.endpoints}
    if endpoints:
        addresses = (family.endpoint(endpoints[key]) for key in sorted(endpoints))
        pairs = ", ".join(f"{address} . {address}" for address in addresses)
        lines.append(f"add element {name} services hairpin {{ {pairs} }}")
    for backed in served:
        virtual = family.virtual(backed)
        if virtual is not None:
            lines += [_rule(family, virtual, port) for port in backed.ports if _translatable(port)]
    return "\n".join(lines) + "\n"


def _translatable(port: ServicePort) -> bool:
    return bool(port.endpoints) and port.protocol in {"tcp", "udp"}


def _rule(family: _Family, virtual: IPv4Address | IPv6Address, port: ServicePort) -> str:
    name = family.name
    match = f"add rule {name} services addresses {name} daddr {virtual} {port.protocol} dport {port.port}"
    if len(port.endpoints) == 1:
        [only] = port.endpoints
        address = family.endpoint(only)
        return f"{match} dnat to {address if name == 'ip' else f'[{address}]'}:{only.port}"
    choices = ", ".join(f"{number} : {family.endpoint(one)} . {one.port}" for number, one in enumerate(port.endpoints))
    return f"{match} dnat {name} addr . port to numgen random mod {len(port.endpoints)} map {{ {choices} }}"
