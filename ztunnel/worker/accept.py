"""Taking connections off a listener that the keeper holds: all that are there, within the budget, come what may."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh.net.flow import close_with_reset
from mesh.quota import Quota
from mesh.refusal import Refusal

_log = logging.getLogger("worker")

_SHORT_OF: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE: Final = 0.1
_AT_ONCE: Final = 64
_MAPPED: Final = "::ffff:"
"""How a dual-stack listener writes an IPv4 caller."""

Serve = Callable[[socket.socket], Awaitable[None]]
Refuse = Callable[[socket.socket, Refusal], None]
"""Tells of a connection that is not served."""


async def accept(
    listener: socket.socket, budget: Quota, serve: Serve, refuse: Refuse, connections: trio.Nursery
) -> None:
    """Serve every connection in a task of its own in `connections`, which outlive this one, until cancelled.

    A connection over budget, or over its caller's share of it, is told to `refuse` and reset. What goes wrong with
    one of them, even a bug, concerns no other; when the process is short of descriptors or memory, those that wait stay
    in the listener's queue.
    """
    listener.setblocking(False)

    async def one(sock: socket.socket, caller: str) -> None:
        try:
            await serve(sock)
        except Exception:  # noqa: BLE001 - the boundary: whatever it was, the others go on
            _log.exception("a connection ended by a fault of this proxy")
            close_with_reset(sock)
        finally:
            budget.give(caller)

    while True:
        await trio.lowlevel.wait_readable(listener.fileno())
        for _ in range(_AT_ONCE):
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                break
            except OSError as fault:
                if fault.errno in _SHORT_OF:
                    _log.warning("cannot accept now: %s", fault.strerror)
                    await trio.sleep(_PAUSE)
                break
            caller = peer[0].removeprefix(_MAPPED)
            refusal = budget.take(caller)
            if refusal is None:
                connections.start_soon(one, sock, caller)
            else:
                refuse(sock, refusal)
                close_with_reset(sock)
