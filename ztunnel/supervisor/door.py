"""The socket on which workers come in. The kernel says who they are; who is not on the roster does not get in."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from ztunnel.channel.frames import ChannelError
from ztunnel.supervisor.roster import Entry, Roster

_log = logging.getLogger("supervisor")

_CREDENTIALS: Final = struct.Struct("3i")
_PATIENCE: Final = 5.0
"""Seconds that the keeper may be late in telling of a worker that is already here."""
_BACKLOG: Final = 256

Converse = Callable[[Entry, trio.SocketStream], Awaitable[None]]


def open_door(path: Path) -> trio.SocketListener:
    """Listen at `path`, in place of a predecessor. Any user may connect: workers have users of their own."""
    path.unlink(missing_ok=True)
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    raw.bind(str(path))
    path.chmod(0o666)
    raw.listen(_BACKLOG)
    return trio.SocketListener(trio.socket.from_stdlib_socket(raw))


async def attend(door: trio.SocketListener, roster: Roster, converse: Converse) -> None:
    """Let workers in until cancelled; a conversation that breaks concerns no other."""
    news = trio.Event()

    def noted() -> None:
        nonlocal news
        news.set()
        news = trio.Event()

    async def identified(stream: trio.SocketStream) -> Entry | None:
        pid, uid = _peer(stream)
        with trio.move_on_after(_PATIENCE):
            while roster.entry(pid, uid) is None:
                await news.wait()
        entry = roster.entry(pid, uid)
        if entry is None:
            _log.error("process %d of user %d is no worker of this node and gets nothing", pid, uid)
        return entry

    async def one(stream: trio.SocketStream) -> None:
        async with stream:
            entry = await identified(stream)
            if entry is None:
                return
            try:
                await converse(entry, stream)
            except* ChannelError as faults:
                _log.error("the worker of %s is not understood: %s", entry.pod, faults.exceptions[0])
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                _log.debug("the worker of %s hung up", entry.pod)
            except* Exception:  # noqa: BLE001 - the boundary: the other workers are served on
                _log.exception("the conversation with the worker of %s ended by a fault of ours", entry.pod)

    roster.noted = noted
    await trio.serve_listeners(one, [door])


def _peer(stream: trio.SocketStream) -> tuple[int, int]:
    """The process and the user at the other end, as they were when it connected (SO_PEERCRED, unix(7))."""
    packed = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(packed)
    return pid, uid
