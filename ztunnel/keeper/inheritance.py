"""The listeners that a keeper leaves to the release that it becomes: they stay open across execve(2)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ztunnel import capture
from ztunnel.keeper.listeners import Listeners

_PORTS: Final = {capture.OUTBOUND_PORT, capture.INBOUND_PLAINTEXT_PORT, capture.INBOUND_PORT}


def bequeath(listeners: Iterable[Listeners]) -> None:
    """Leave duplicates of these to whatever program this process becomes."""
    for one in listeners:
        for descriptor in one.descriptors():
            os.set_inheritable(os.dup(descriptor), True)


class Inheritance:
    """What was left to this process, by inode."""

    def __init__(self, sockets: dict[int, socket.socket]) -> None:
        self._sockets = sockets

    @classmethod
    def of_this_process(cls) -> Inheritance:
        """All listeners of captured pods among the descriptors that this process was started with."""
        found: dict[int, socket.socket] = {}
        for entry in Path("/proc/self/fd").iterdir():
            descriptor = int(entry.name)
            if descriptor > 2 and _is_socket(entry):
                sock = socket.socket(fileno=os.dup(descriptor))
                if _listens(sock):
                    os.close(descriptor)
                    found[os.fstat(sock.fileno()).st_ino] = sock
                else:
                    sock.close()
        return cls(found)

    def take(self, inodes: tuple[int, int, int]) -> Listeners | None:
        """Duplicates of the listeners with these inodes; None unless all three were left."""
        if not all(inode in self._sockets for inode in inodes):
            return None
        outbound, inbound_plaintext, inbound = (self._sockets[inode].dup() for inode in inodes)
        return Listeners(outbound, inbound_plaintext, inbound, outbound.family == socket.AF_INET6)

    def close(self) -> None:
        """Let go of them: what nobody took refuses connections from now on."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()


def _is_socket(entry: Path) -> bool:
    try:
        return str(entry.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False  # the directory's own descriptor


def _listens(sock: socket.socket) -> bool:
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return False
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) and sock.getsockname()[1] in _PORTS
