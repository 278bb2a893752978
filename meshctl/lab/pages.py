"""Fetches what a program inside the lab shows on its pod's or node's loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from meshctl.failure import ExitCode, Failure
from meshctl.lab.kubelet import Kubelet
from meshctl.lab.netns import Netns
from meshctl.lab.network import Node

_SECONDS = 10.0
_LARGEST = 64 * 1024 * 1024


class Pages:
    """The admin pages of everything in the lab."""

    def __init__(self, kubelet: Kubelet, nodes: Mapping[str, Node]) -> None:
        self._kubelet = kubelet
        self._nodes = nodes

    async def fetch(self, node: str, pod: str, port: int, target: str) -> tuple[int, str]:
        """The status and text of a page in a node's network, or in that of the pod `namespace/name` if one is named.

        Raises Failure if there is no such place, or nobody answers.
        """
        return await fetch(self._of_pod(pod) if pod else self._of_node(node), port, target)

    def _of_node(self, name: str) -> Netns:
        if name not in self._nodes:
            raise Failure(f"There is no node {name}.", f"There are: {', '.join(self._nodes)}.", ExitCode.ABSENT)
        return self._nodes[name].netns

    def _of_pod(self, name: str) -> Netns:
        found = self._kubelet.pod(*name.split("/", 1))
        if found is None or found.netns is None:
            raise Failure(f"There is no running pod {name}.", "See which there are: meshctl get pods", ExitCode.ABSENT)
        return found.netns


async def fetch(netns: Netns, port: int, target: str) -> tuple[int, str]:
    """GET `target` from 127.0.0.1:`port` in there; its status and text. Raises Failure if nobody answers."""
    sock = netns.socket(socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=_LARGEST)
            try:
                head = f"GET {target} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
                writer.write(head.encode("ascii"))
                answered = await reader.readuntil(b"\r\n\r\n")
                return int(answered.split(b" ", 2)[1]), (await reader.read()).decode()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
        sock.close()
        raise Failure(f"Nobody answers on 127.0.0.1:{port} there: {error}") from None
