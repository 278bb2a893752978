"""The listeners that a keeper leaves to the release that it becomes: they stay open across execve(2)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ztunnel import capture
from ztunnel.keeper.listeners import Listeners

_PORTS: Final = {
    socket.SOCK_STREAM: {
        capture.OUTBOUND_PORT,
        capture.INBOUND_PLAINTEXT_PORT,
        capture.INBOUND_PORT,
        capture.NAMES_PORT,
    },
    socket.SOCK_DGRAM: {capture.NAMES_PORT},
}


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

    def take(self, inodes: tuple[int, ...]) -> Listeners | None:
        """Duplicates of the listeners with these inodes; None unless all were left."""
        if not all(inode in self._sockets for inode in inodes):
            return None
        return Listeners.of([self._sockets[inode].dup() for inode in inodes])

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
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type not in _PORTS:
        return False
    listening = sock.type == socket.SOCK_DGRAM or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(listening) and sock.getsockname()[1] in _PORTS[sock.type]
