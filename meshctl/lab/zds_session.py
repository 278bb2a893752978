"""One connection with a node's ztunnel: the CNI agent's end of ZDS."""

from __future__ import annotations

import asyncio
import socket

from mesh.zds import ACK_DEADLINE, LARGEST_PACKET, Ack, Request, ZdsError, encode_request, parse_ack, parse_hello


class Session:
    """Asks, and waits for the answer before it asks again."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    async def greet(self) -> None:
        """Take ztunnel's greeting. Raises ZdsError if it speaks another version."""
        parse_hello(await self._receive())

    async def ask(self, request: Request, descriptor: int | None = None) -> Ack:
        """Send one request and return the answer. Raises ZdsError, OSError or TimeoutError: the connection is over."""
        sent = [] if descriptor is None else [descriptor]
        socket.send_fds(self._sock, [encode_request(request)], sent)
        return parse_ack(await self._receive())

    async def ended(self) -> None:
        """Wait for ztunnel to hang up; raises ZdsError when it has, or if it speaks unasked."""
        if await asyncio.get_running_loop().sock_recv(self._sock, LARGEST_PACKET):
            raise ZdsError("it spoke without being asked")
        raise ZdsError("it hung up")

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    async def _receive(self) -> bytes:
        async with asyncio.timeout(ACK_DEADLINE):
            packet = await asyncio.get_running_loop().sock_recv(self._sock, LARGEST_PACKET)
        if not packet:
            raise ZdsError("it hung up")
        return packet
