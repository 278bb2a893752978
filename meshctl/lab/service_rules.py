"""kube-proxy's part: nftables text that turns virtual addresses into endpoints.

The base is laid once per node. A change empties and refills one chain and one set in one transaction; connections
that are established keep the translation they began with, as conntrack remembers it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from meshctl.lab.addressing import DNS, SERVICES
from meshctl.lab.endpoints import Backed, ServicePort

BASE = f"""\
table ip services {{
	set hairpin {{ type ipv4_addr . ipv4_addr; }}
	chain addresses {{ }}
	chain arriving {{ type nat hook prerouting priority -100; jump addresses; }}
	chain leaving {{ type nat hook output priority -100; jump addresses; }}
	chain to-oneself {{ type nat hook postrouting priority 100; ip saddr . ip daddr @hairpin masquerade; }}
	chain unserved {{ ip daddr {SERVICES} ip daddr != {DNS} reject; }}
	chain unserved-arriving {{ type filter hook prerouting priority -90; jump unserved; }}
	chain unserved-leaving {{ type filter hook output priority -90; jump unserved; }}
}}
"""
"""What is still addressed to a virtual address after translation has no endpoint: rejected at once, not lost.

A pod that reaches itself through a Service would see its own address as the sender and drop it: masqueraded."""


def service_rules(services: Iterable[Backed]) -> str:
    """Return one transaction that makes a node's rules say what `services` say."""
    served = list(services)
    lines = ["flush chain ip services addresses", "flush set ip services hairpin"]
    addresses = sorted({endpoint.address for backed in served for port in backed.ports for endpoint in port.endpoints})
    if addresses:
        pairs = ", ".join(f"{address} . {address}" for address in addresses)
        lines.append(f"add element ip services hairpin {{ {pairs} }}")
    for backed in served:
        if backed.address is not None:
            lines += [_rule(backed.address, port) for port in backed.ports if _translatable(port)]
    return "\n".join(lines) + "\n"


def _translatable(port: ServicePort) -> bool:
    return bool(port.endpoints) and port.protocol in {"tcp", "udp"}


def _rule(address: IPv4Address, port: ServicePort) -> str:
    match = f"add rule ip services addresses ip daddr {address} {port.protocol} dport {port.port}"
    if len(port.endpoints) == 1:
        [only] = port.endpoints
        return f"{match} dnat to {only.address}:{only.port}"
    choices = ", ".join(
        f"{number} : {endpoint.address} . {endpoint.port}" for number, endpoint in enumerate(port.endpoints)
    )
    return f"{match} dnat ip addr . port to numgen random mod {len(port.endpoints)} map {{ {choices} }}"
