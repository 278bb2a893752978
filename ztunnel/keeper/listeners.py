"""A pod's listening sockets. They are the keeper's: a worker may end and another begin, and nobody is refused."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ztunnel import capture, netns

_BACKLOG: Final = 4_096
"""Connections that wait while a worker is replaced; the kernel cuts it to the namespace's net.core.somaxconn."""

_LOOPBACKS: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


@dataclass(frozen=True, slots=True)
class Listeners:
    """The ports of a captured pod."""

    outbound: socket.socket
    inbound_plaintext: socket.socket
    inbound: socket.socket
    names: tuple[socket.socket, ...]
    """15053 on the loopback: UDP and TCP of IPv4, and then of IPv6 if the pod has it."""
    ipv6: bool
    """Whether the pod has IPv6; then each of the first three is dual stack."""

    @classmethod
    def of(cls, sockets: Sequence[socket.socket]) -> Listeners:
        """Those that were taken from another process, in the order of `descriptors`."""
        outbound, inbound_plaintext, inbound, *names = sockets
        return cls(outbound, inbound_plaintext, inbound, tuple(names), outbound.family == socket.AF_INET6)

    @classmethod
    def open(cls, namespace: int) -> Listeners:
        """Listen in a network namespace; raises OSError, most likely because the pod itself uses one of the ports."""
        opened: list[socket.socket] = []
        try:
            with netns.entered(namespace):
                ipv6 = netns.has_ipv6()
                for port in (capture.OUTBOUND_PORT, capture.INBOUND_PLAINTEXT_PORT, capture.INBOUND_PORT):
                    opened.append(socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM))
                    _listen(opened[-1], ("", port))
                for family, loopback in _LOOPBACKS[: 2 if ipv6 else 1]:
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        opened.append(socket.socket(family, kind))
                        _listen(opened[-1], (loopback, capture.NAMES_PORT))
        except OSError:
            _close(opened)
            raise
        return cls.of(opened)

    def duplicate(self) -> Listeners:
        """The same sockets under descriptors of their own."""
        return Listeners.of([sock.dup() for sock in self._all()])

    def descriptors(self) -> tuple[int, ...]:
        """In the order that a worker is given them."""
        return tuple(sock.fileno() for sock in self._all())

    def inodes(self) -> tuple[int, ...]:
        """What tells each of these sockets from every other, by whatever descriptor it is held; in the same order."""
        return tuple(os.fstat(descriptor).st_ino for descriptor in self.descriptors())

    def close(self) -> None:
        """Refuse new connections, unless somebody else holds the sockets too."""
        _close(self._all())

    def _all(self) -> tuple[socket.socket, ...]:
        return self.outbound, self.inbound_plaintext, self.inbound, *self.names


def _listen(sock: socket.socket, address: tuple[str, int]) -> None:
    stream = sock.type == socket.SOCK_STREAM
    if stream:  # two UDP sockets that both reuse an address would both get it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        sock.bind(address)
        if stream:
            sock.listen(_BACKLOG)
    except OSError as fault:
        raise OSError(fault.errno, f"cannot listen on port {address[1]} in the pod: {fault.strerror}") from fault


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
