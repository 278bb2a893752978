"""Connecting from within the relay: no task waits for it, and on the same host it is most often done at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.net.dial import begin, failed, too_slow
from mesh.net.relay import OUT

if TYPE_CHECKING:
    from mesh.address import IP, Address
    from mesh.net.deadlines import Deadlines
    from mesh.net.relay import Relay
    from mesh.refusal import Refusal

Told = Callable[["socket.socket | Refusal"], None]


def reach(
    relay: Relay,
    address: Address,
    told: Told,
    *,
    deadlines: Deadlines,
    timeout: float,
    mark: int | None = None,
    bind: IP | None = None,
    transparent: bool = False,
) -> Reaching | None:
    """Connect like `mesh.net.dial.dial`, and tell `told` once. None if that was before this returned; otherwise what
    is under way, to be given up by `abort`. Raises OSError when no socket can be had at all."""
    sock, fault = begin(address, mark, bind, transparent=transparent)
    if fault == errno.EALREADY:
        return Reaching(relay, sock, address, told, deadlines=deadlines, timeout=timeout)
    if fault:
        sock.close()
        told(failed(address, fault))
    else:
        told(sock)
    return None


class Reaching:
    """A connection under way. Made by `reach` only."""

    __slots__ = ("_address", "_relay", "_sock", "_timeout", "_told", "_wait", "_watch")

    def __init__(
        self, relay: Relay, sock: socket.socket, address: Address, told: Told, *, deadlines: Deadlines, timeout: float
    ) -> None:
        self._relay = relay
        self._sock = sock
        self._address = address
        self._told = told
        self._timeout = timeout
        self._watch = relay.watch(sock.fileno(), self._decided)
        self._watch.want(OUT)
        relay.residents.add(self)
        self._wait = deadlines.after(timeout, self._too_late)

    def abort(self) -> None:
        """Give it up; nobody is told."""
        self._leave()
        self._sock.close()

    def _decided(self, _events: int) -> None:
        self._leave()
        fault = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if fault:
            self._sock.close()
        self._told(failed(self._address, fault) if fault else self._sock)

    def _too_late(self) -> None:
        self.abort()
        self._told(too_slow(self._address, self._timeout))

    def _leave(self) -> None:
        self._wait.cancel()
        self._relay.residents.discard(self)
        self._watch.want(0)
