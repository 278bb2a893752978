"""How `meshctl` and a lab's daemon talk: one JSON object a line on a unix socket, descriptors beside the first."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

_CHUNK = 65536
_MOST_DESCRIPTORS = 3

Message = dict[str, Any]


def encoded(message: Message) -> bytes:
    """Return a message as it is sent."""
    return json.dumps(message).encode() + b"\n"


class Caller:
    """The client's end, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message, with descriptors beside its first bytes."""
        line = encoded(message)
        sent = socket.send_fds(self.sock, [line], list(descriptors)) if descriptors else 0
        if sent < len(line):  # sending nothing fails too once the daemon, who has it all, has answered and hung up
            self.sock.sendall(line[sent:])

    def receive(self) -> Message | None:
        """Return the next message, None when the daemon has hung up."""
        while b"\n" not in self._rest:
            chunk = self.sock.recv(_CHUNK)
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        found: Message = json.loads(line)
        return found


class Called:
    """The daemon's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.descriptors: list[int] = []
        self._rest = b""

    async def send(self, message: Message) -> None:
        """Send a message."""
        await asyncio.get_running_loop().sock_sendall(self.sock, encoded(message))

    async def receive(self) -> Message | None:
        """Return the next message, None when the client has hung up; descriptors gather in `descriptors`."""
        while b"\n" not in self._rest:
            try:
                chunk, descriptors, _, _ = socket.recv_fds(self.sock, _CHUNK, _MOST_DESCRIPTORS)
            except BlockingIOError:
                await self._readable()
                continue
            for number in descriptors:  # or a program that is started now would keep them open for its life
                os.set_inheritable(number, False)
            self.descriptors += descriptors
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        found: Message = json.loads(line)
        return found

    def drop_descriptors(self) -> None:
        """Close the descriptors that came and were not used; safe to call again."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self.sock, _set, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self.sock)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
