"""A pod's listening sockets. They are the keeper's: a worker may end and another begin, and nobody is refused."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Final

from ztunnel import capture, netns

_BACKLOG: Final = 4_096
"""Connections that wait while a worker is replaced; the kernel cuts it to the namespace's net.core.somaxconn."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The three ports of a captured pod."""

    outbound: socket.socket
    inbound_plaintext: socket.socket
    inbound: socket.socket
    ipv6: bool
    """Whether the pod has IPv6; then each of them is dual stack."""

    @classmethod
    def open(cls, namespace: int) -> Listeners:
        """Listen in a network namespace; raises OSError, most likely because the pod itself uses one of the ports."""
        opened: list[socket.socket] = []
        try:
            with netns.entered(namespace):
                ipv6 = netns.has_ipv6()
                for port in (capture.OUTBOUND_PORT, capture.INBOUND_PLAINTEXT_PORT, capture.INBOUND_PORT):
                    opened.append(socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM))
                    _listen(opened[-1], port)
        except OSError:
            _close(opened)
            raise
        outbound, inbound_plaintext, inbound = opened
        return cls(outbound, inbound_plaintext, inbound, ipv6)

    def duplicate(self) -> Listeners:
        """The same sockets under descriptors of their own."""
        return Listeners(self.outbound.dup(), self.inbound_plaintext.dup(), self.inbound.dup(), self.ipv6)

    def descriptors(self) -> tuple[int, int, int]:
        """In the order that a worker is given them."""
        return self.outbound.fileno(), self.inbound_plaintext.fileno(), self.inbound.fileno()

    def inodes(self) -> tuple[int, int, int]:
        """What tells each of these sockets from every other, by whatever descriptor it is held; in the same order."""
        outbound, inbound_plaintext, inbound = (os.fstat(descriptor).st_ino for descriptor in self.descriptors())
        return outbound, inbound_plaintext, inbound

    def close(self) -> None:
        """Refuse new connections, unless somebody else holds the sockets too."""
        _close([self.outbound, self.inbound_plaintext, self.inbound])


def _listen(sock: socket.socket, port: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        sock.bind(("", port))
        sock.listen(_BACKLOG)
    except OSError as fault:
        raise OSError(fault.errno, f"cannot listen on port {port} in the pod: {fault.strerror}") from fault


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
