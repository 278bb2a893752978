"""Lays the lab's wires with the `ip` and `nft` programs, one batch per namespace."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from meshctl.config import program_path
from meshctl.lab import fabric, service_rules
from meshctl.lab.addressing import node_address, node_name
from meshctl.lab.init import CommandFailed, Init, SpawnFailed
from meshctl.lab.netns import Netns


@dataclass(frozen=True, slots=True)
class Node:
    """A node: a network namespace on the fabric."""

    index: int
    netns: Netns

    @property
    def name(self) -> str:
        """The node's name, node-1 and so on."""
        return node_name(self.index)

    @property
    def address(self) -> IPv4Address:
        """The node's address on the fabric."""
        return node_address(self.index)


class Network:
    """Makes nodes and pods' namespaces."""

    def __init__(self, init: Init, *, dual: bool = False) -> None:
        self._init = init
        self.dual = dual
        """Everything has an IPv6 address beside its IPv4 address."""
        self._env = {"PATH": program_path(), "LANG": "C.UTF-8"}
        self._fabric = Netns.current()

    async def make_fabric(self) -> None:
        """Make the bridge that nodes hang on."""
        await self._ip(fabric.fabric(dual=self.dual), self._fabric)

    async def add_node(self, index: int, nodes: int) -> Node:
        """Make node `index` of `nodes` and lay the base of its service rules."""
        netns = Netns.create()
        netns.set_sysctls(fabric.NODE_SYSCTLS)
        batches = fabric.node(index, nodes, _path(netns), dual=self.dual)
        await self._ip(batches.outer, self._fabric, netns)
        await self._ip(batches.inner, netns)
        node = Node(index, netns)
        await self.set_rules(node, service_rules.base(dual=self.dual))
        return node

    async def add_pod(self, node: Node, address: IPv4Address) -> Netns:
        """Make a pod's namespace and connect it to its node."""
        netns = Netns.create()
        netns.set_sysctls(fabric.POD_SYSCTLS)
        batches = fabric.pod(node.index, address, _path(netns), dual=self.dual)
        await self._ip(batches.outer, node.netns, netns)
        await self._ip(batches.inner, netns)
        return netns

    async def remove_pod(self, node: Node, address: IPv4Address) -> None:
        """Cut a pod off, whoever may still hold its namespace."""
        await self._ip(f"link del {fabric.pod_link(address)}\n", node.netns)

    async def set_rules(self, node: Node, transaction: str) -> None:
        """Run one nftables transaction in a node's namespace."""
        await self._tool(("nft", "-f", "-"), transaction, node.netns)

    async def _ip(self, batch: str, netns: Netns, mentioned: Netns | None = None) -> None:
        keep = () if mentioned is None else (mentioned.fd,)
        await self._tool(("ip", "-batch", "-"), batch, netns, keep)

    async def _tool(self, command: tuple[str, ...], given: str, netns: Netns, keep: tuple[int, ...] = ()) -> None:
        try:
            output = await self._init.run(command, env=self._env, netns=netns, given=given, keep=keep)
        except SpawnFailed as error:
            raise CommandFailed(f"{error}; a lab needs the programs ip (iproute2) and nft (nftables)") from None
        if output.code != 0:
            raise CommandFailed(f"{' '.join(command)} said: {output.text.strip()}\nIt was given:\n{given}")


def _path(netns: Netns) -> str:
    return f"/proc/self/fd/{netns.fd}"
