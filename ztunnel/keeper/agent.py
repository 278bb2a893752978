"""The keeper's end of the ZDS connection: dials the CNI agent, and answers each of its requests before the next."""

from __future__ import annotations

import logging
import os
import socket
import struct
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from mesh import zds
from ztunnel.keeper.backoff import Backoff

_MSG_CMSG_CLOEXEC: Final = 0x40000000
_DESCRIPTOR: Final = array("i").itemsize
_CREDENTIALS: Final = struct.Struct("3i")

_log = logging.getLogger("ztunnel.keeper")

Obey = Callable[[zds.Request, zds.Resync, int | None], Awaitable[zds.Ack]]
"""Does what the agent asks. The descriptor, where there is one, belongs to the callee from then on."""


async def follow(path: Path, obey: Obey, connected: Callable[[bool], None]) -> None:
    """Do as the agent at this socket says, for ever; dial again whenever the connection ends. Tells of both."""
    backoff = Backoff(first=0.1, most=5.0)
    while True:
        born = trio.current_time()
        try:
            await _follow_once(path, obey, connected)
        except (OSError, zds.ZdsError) as error:
            _log.warning("no connection with the CNI agent at %s: %s", path, error)
        finally:
            connected(False)
        await trio.sleep(backoff.after(trio.current_time() - born))


async def _follow_once(path: Path, obey: Obey, connected: Callable[[bool], None]) -> None:
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as agent:
        await agent.connect(str(path))
        _check_peer(agent)
        await agent.send(zds.encode_hello(zds.Hello()))
        _log.info("connected with the CNI agent at %s", path)
        connected(True)
        resync = zds.Resync()
        while True:
            packet, namespace = await _receive(agent)
            try:
                request = zds.parse_request(packet)
                _check_descriptor(request, namespace)
                resync.take(request)
            except zds.ZdsError:
                if namespace is not None:
                    os.close(namespace)
                raise
            ack = await obey(request, resync, namespace)
            await agent.send(zds.encode_ack(ack))


def _check_peer(agent: trio.socket.SocketType) -> None:
    """Who commands us is root or ourselves: it made the socket (SO_PEERCRED, unix(7))."""
    packed = agent.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(packed)
    if user not in (0, os.getuid()):
        raise zds.ZdsError(f"it belongs to user {user}; the agent must run as root")


async def _receive(agent: trio.socket.SocketType) -> tuple[bytes, int | None]:
    """One packet and the descriptor that came with it; raises ZdsError on the end and on more than one."""
    room = socket.CMSG_SPACE(4 * _DESCRIPTOR)
    packet, ancillary, flags, _ = await agent.recvmsg(zds.LARGEST_PACKET, room, _MSG_CMSG_CLOEXEC)
    received = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % _DESCRIPTOR])
    if not packet or len(received) > 1 or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for descriptor in received:
            os.close(descriptor)
        raise zds.ZdsError("it sent more than a packet holds" if packet else "it closed the connection")
    return packet, received[0] if received else None


def _check_descriptor(request: zds.Request, namespace: int | None) -> None:
    if isinstance(request, zds.Add) != (namespace is not None):
        raise zds.ZdsError("a descriptor belongs to a request to add a pod, and to no other")
