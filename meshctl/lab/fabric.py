"""The wires of a lab: one bridge, nodes on it, pods behind nodes; and the `ip` batches that lay them.

A pod has a /32 and its node as next hop for everything, so that every packet passes the node's rules: with a
bridge per node, answers between pods of one node would pass beside them and keep an untranslated address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from meshctl.lab.addressing import (
    DNS,
    FABRIC,
    FABRIC_GATEWAY,
    FABRIC_V6,
    PROBE_SOURCE,
    node_address,
    pod_gateway,
    pod_range,
    pod_range_v6,
    twin,
)

BRIDGE = "fabric"

NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/route_localnet": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/all/forwarding": "1",
}
POD_SYSCTLS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
}


@dataclass(frozen=True, slots=True)
class Batches:
    """Two inputs for `ip -batch`: for the outer namespace, then for the inner one."""

    outer: str
    inner: str


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def fabric(*, dual: bool = False) -> str:
    """Return the batch that makes the bridge; here and below `dual` lays IPv6 beside IPv4."""
    second = (f"addr add {twin(FABRIC_GATEWAY)}/{FABRIC_V6.prefixlen} dev {BRIDGE}",) if dual else ()
    return _lines(
        (
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"addr add {FABRIC_GATEWAY}/{FABRIC.prefixlen} dev {BRIDGE}",
            *second,
            f"link set {BRIDGE} up",
        )
    )


def node(index: int, nodes: int, netns_path: str, *, dual: bool = False) -> Batches:
    """Return what connects a node to the fabric. The default route exists so that virtual addresses are routable."""
    others = [other for other in range(1, nodes + 1) if other != index]
    second = (
        f"addr add {twin(node_address(index))}/{FABRIC_V6.prefixlen} dev eth0",
        f"route add ::/0 via {twin(FABRIC_GATEWAY)}",
        *(f"route add {pod_range_v6(other)} via {twin(node_address(other))}" for other in others),
    )
    outer = (
        f"link add node{index} type veth peer name eth0 netns {netns_path}",
        f"link set node{index} master {BRIDGE} up",
    )
    inner = (
        "link set lo up",
        f"addr add {DNS}/32 dev lo",
        f"addr add {PROBE_SOURCE}/32 dev lo",
        f"addr add {node_address(index)}/{FABRIC.prefixlen} dev eth0",
        "link set eth0 up",
        f"route add default via {FABRIC_GATEWAY}",
        *(f"route add {pod_range(other)} via {node_address(other)}" for other in others),
        *(second if dual else ()),
    )
    return Batches(_lines(outer), _lines(inner))


def pod_link(address: IPv4Address) -> str:
    """Return the name of the node's end of a pod's wire."""
    return f"pod{int(address) & 0xFF}"


def pod(node_index: int, address: IPv4Address, netns_path: str, *, dual: bool = False) -> Batches:
    """Return what connects a pod to its node."""
    gateway, link = pod_gateway(node_index), pod_link(address)
    gateway_v6, address_v6 = twin(gateway), twin(address)
    second = Batches(
        _lines((f"addr add {gateway_v6}/128 dev {link}", f"route add {address_v6}/128 dev {link}")),
        _lines(
            (
                f"addr add {address_v6}/128 dev eth0",
                f"route add {gateway_v6}/128 dev eth0",
                f"route add ::/0 via {gateway_v6} dev eth0",
            )
        ),
    )
    outer = (
        f"link add {link} type veth peer name eth0 netns {netns_path}",
        f"addr add {gateway}/32 dev {link}",
        f"link set {link} up",
        f"route add {address}/32 dev {link}",
    )
    inner = (
        "link set lo up",
        f"addr add {address}/32 dev eth0",
        "link set eth0 up",
        f"route add {gateway}/32 dev eth0 scope link",
        f"route add default via {gateway} dev eth0",
    )
    if dual:
        return Batches(_lines(outer) + second.outer, _lines(inner) + second.inner)
    return Batches(_lines(outer), _lines(inner))
