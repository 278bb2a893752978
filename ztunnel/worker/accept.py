"""Taking connections off a listener that the keeper holds: all that are there, within the budget, come what may."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh.net.flow import close_with_reset
from mesh.refusal import Refusal
from ztunnel.worker.budget import Budget

_log = logging.getLogger("worker")

_SHORT_OF: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE: Final = 0.1
_AT_ONCE: Final = 64

Serve = Callable[[socket.socket], Awaitable[None]]
Refuse = Callable[[Refusal], None]


async def accept(
    listener: socket.socket, budget: Budget, serve: Serve, refuse: Refuse, connections: trio.Nursery
) -> None:
    """Serve every connection in a task of its own in `connections`, which outlive this one, until cancelled.

    A connection over budget is told to `refuse` and reset. What goes wrong with one of them, even a bug, concerns no
    other; when the process is short of descriptors or memory, those that wait stay in the listener's queue.
    """
    listener.setblocking(False)

    async def one(sock: socket.socket) -> None:
        try:
            await serve(sock)
        except Exception:  # noqa: BLE001 - the boundary: whatever it was, the others go on
            _log.exception("a connection ended by a fault of this proxy")
            close_with_reset(sock)
        finally:
            budget.give()

    while True:
        await trio.lowlevel.wait_readable(listener.fileno())
        for _ in range(_AT_ONCE):
            try:
                sock, _peer = listener.accept()
            except BlockingIOError:
                break
            except OSError as fault:
                if fault.errno in _SHORT_OF:
                    _log.warning("cannot accept now: %s", fault.strerror)
                    await trio.sleep(_PAUSE)
                break
            refusal = budget.take()
            if refusal is None:
                connections.start_soon(one, sock)
            else:
                refuse(refusal)
                close_with_reset(sock)
