"""Which addresses a lab uses. They exist inside the lab only; two labs use the same ones and never meet."""

from __future__ import annotations

from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

FABRIC = IPv4Network("172.30.0.0/24")
FABRIC_GATEWAY = FABRIC[1]
PODS = IPv4Network("10.244.0.0/16")
SERVICES = IPv4Network("10.96.0.0/16")
DNS = IPv4Address("10.96.0.10")
ISTIOD = IPv4Address("10.96.0.15")
PROBE_SOURCE = IPv4Address("169.254.7.127")
"""Where the kubelet role's probes come from; capture rules let this address pass (Istio's host probe address)."""

FABRIC_V6 = IPv6Network("fd00:172:30::/120")
PODS_V6 = IPv6Network("fd00:10:244::/112")
SERVICES_V6 = IPv6Network("fd00:10:96::/112")
_TWINS = ((FABRIC, FABRIC_V6), (PODS, PODS_V6), (SERVICES, SERVICES_V6))

MOST_NODES = 200
_FIRST_ALLOCATED_SERVICE = 256


def twin(address: IPv4Address) -> IPv6Address:
    """Return the IPv6 address of whoever has this IPv4 address of the lab, in a lab with both families."""
    for range_v4, range_v6 in _TWINS:
        if address in range_v4:
            return range_v6[int(address) - int(range_v4.network_address)]
    raise ValueError(f"{address} is no address of a lab")


def node_name(index: int) -> str:
    """Return the name of the node with this index, which counts from 1."""
    return f"node-{index}"


def node_address(index: int) -> IPv4Address:
    """Return a node's address on the fabric."""
    return FABRIC[10 + index]


def pod_range(index: int) -> IPv4Network:
    """Return the range that a node's pods get their addresses from."""
    return IPv4Network((int(PODS.network_address) + index * 256, 24))


def pod_range_v6(index: int) -> IPv6Network:
    """Return the IPv6 twin of a node's range."""
    return IPv6Network((int(twin(pod_range(index).network_address)), 120))


def pod_gateway(index: int) -> IPv4Address:
    """Return the node's own address in its pod range, every pod's next hop."""
    return pod_range(index)[1]


def next_pod_address(index: int, last: IPv4Address | None, used: Container[IPv4Address]) -> IPv4Address | None:
    """Return the next free address after `last`, or None if the node is full.

    Walking on, and not taking the lowest free one, keeps an address out of use for a while after its pod has gone:
    nobody's cache then takes a new pod for the old one.
    """
    span = pod_range(index)
    first, size = 2, span.num_addresses - 3
    start = 0 if last is None else int(last) - int(span[first]) + 1
    for step in range(size):
        candidate = span[first + (start + step) % size]
        if candidate not in used:
            return candidate
    return None


def next_service_address(used: Container[str]) -> str | None:
    """Return the lowest free virtual address, or None. The first 256 are kept for addresses that somebody fixed."""
    for number in range(_FIRST_ALLOCATED_SERVICE, SERVICES.num_addresses - 1):
        if (candidate := str(SERVICES[number])) not in used:
            return candidate
    return None
