"""Taking connections off a listener that the keeper holds: all that are there, within the budget, come what may."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from mesh.address import Address
from mesh.net.dial import tune
from mesh.net.flow import close_with_reset
from mesh.net.relay import IN, Relay
from mesh.quota import Quota
from mesh.refusal import Refusal
from ztunnel.worker.sockets import address_of

_log = logging.getLogger("worker")

_SHORT_OF: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE: Final = 0.1
_AT_ONCE: Final = 64
"""Connections taken before those that are established get their turn."""

Done = Callable[[], None]
Take = Callable[[socket.socket, Address, Done], None]
"""Serves a connection (non-blocking and tuned, from an address), and says when it is over; called in the relay."""
Refuse = Callable[[socket.socket, Address, Refusal], None]
"""Tells of a connection that is not served."""


class Acceptor:
    """One listener, watched in the relay.

    A connection over budget, or over its caller's share of it, is told to `refuse` and reset. What goes wrong with
    one of them, even a bug, concerns no other; when the process is short of descriptors or memory, those that wait stay
    in the listener's queue.
    """

    def __init__(self, relay: Relay, listener: socket.socket, budget: Quota, take: Take, refuse: Refuse) -> None:
        listener.setblocking(False)
        tune(listener)
        self._relay = relay
        self._listener = listener
        self._budget = budget
        self._take = take
        self._refuse = refuse
        self._watch = relay.watch(listener.fileno(), self._ready)
        self._short = trio.Event()

    async def run(self) -> None:
        """Accept until cancelled; what was accepted lives on."""
        self._relay.residents.add(self)
        try:
            while True:
                self._watch.want(IN)
                await self._short.wait()
                self._short = trio.Event()
                await trio.sleep(_PAUSE)
        finally:
            self.abort()

    def abort(self) -> None:
        """Accept nothing more."""
        self._relay.residents.discard(self)
        self._watch.want(0)

    def _ready(self, _events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, name = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as fault:
                if fault.errno in _SHORT_OF:
                    _log.warning("cannot accept now: %s", fault.strerror)
                    self._watch.want(0)
                    self._short.set()
                    return
                continue
            source = address_of(name)
            caller = str(source.ip)
            refusal = self._budget.take(caller)
            if refusal is None:
                sock.setblocking(False)
                self._take(sock, source, partial(self._budget.give, caller))
            else:
                self._refuse(sock, source, refusal)
                close_with_reset(sock)
