"""The socket on which the node's own administrator asks the keeper for something: `ztunnel upgrade` speaks here."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from ztunnel import command

_log = logging.getLogger("ztunnel.keeper")

_CREDENTIALS: Final = struct.Struct("3i")
_PATIENCE: Final = 30.0
_AT_ONCE: Final = 8

Answer = Callable[[command.Upgrade | command.Status], Awaitable[command.Upgrading | command.Refused | command.Standing]]


def open_desk(path: Path) -> trio.SocketListener:
    """Listen at `path`, in place of a predecessor; only this process's user and root may connect."""
    path.unlink(missing_ok=True)
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    raw.bind(str(path))
    path.chmod(0o600)
    raw.listen(_AT_ONCE)
    return trio.SocketListener(trio.socket.from_stdlib_socket(raw))


async def attend(desk: trio.SocketListener, answer: Answer) -> None:
    """Answer one request a connection, until cancelled."""
    room = trio.CapacityLimiter(_AT_ONCE)

    async def one(stream: trio.SocketStream) -> None:
        async with stream, room:
            try:
                with trio.fail_after(_PATIENCE):
                    await stream.send_all(command.encode(await _answered(stream, answer)))
            except (trio.TooSlowError, trio.BrokenResourceError):
                _log.warning("who asked something of the keeper did not wait for its answer")

    await trio.serve_listeners(one, [desk])


async def _answered(
    stream: trio.SocketStream, answer: Answer
) -> command.Upgrading | command.Refused | command.Standing:
    packed = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(packed)
    if uid not in (0, os.getuid()):
        return command.Refused(f"user {uid} may not command this node's ztunnel")
    text = b""
    while data := await stream.receive_some(4096):
        text += data
        if len(text) > command.LARGEST_REQUEST:
            return command.Refused("a request that is too long")
    try:
        return await answer(command.parse_request(text))
    except command.CommandError as fault:
        return command.Refused(str(fault))
