"""A name server outside the mesh, and a process that asks for names; both are real and speak through sockets."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio

from ztunnel import netns

SERVER = "10.96.0.10"
"""Whom a pod's resolv.conf names. Nobody is there: the question is captured before it leaves."""


def make_socket(place: Any, address: tuple[str, int] | None, kind: socket.SocketKind) -> socket.socket:
    """A socket in the place's network namespace, bound if an address is given."""
    family = socket.AF_INET6 if address is not None and ":" in address[0] else socket.AF_INET
    with netns.entered(place.namespace):
        made = socket.socket(family, kind)
    place.sockets.callback(made.close)
    if address is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    made.setblocking(False)
    return made


async def ask(
    place: Any, name: str, kind: str = "A", *, tcp: bool = False, payload: int = 1232, server: str = SERVER
) -> dns.message.Message:
    """What a process in the place gets to hear."""
    query = dns.message.make_query(name, kind, payload=payload)
    sock = make_socket(place, None, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    if tcp:
        sock.setblocking(True)
        await trio.to_thread.run_sync(sock.connect, (server, 53))
        sock.setblocking(False)
        return await trio.to_thread.run_sync(lambda: dns.query.tcp(query, server, timeout=8, sock=sock))
    return await trio.to_thread.run_sync(lambda: dns.query.udp(query, server, timeout=8, sock=sock))


def addresses(message: dns.message.Message) -> set[str]:
    """Those in an answer."""
    return {str(one) for rrset in message.answer for one in rrset if one.rdtype.name in {"A", "AAAA"}}


@dataclass
class Stranger:
    """A name server: A records by name, a CNAME where the value is a name."""

    names: Mapping[str, tuple[str, ...]]
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Every name that it was asked for, and by which protocol."""
    code: dns.rcode.Rcode = dns.rcode.NOERROR
    """What it says instead of an answer, if not NOERROR."""

    async def serve(
        self, place: Any, address: str, *, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve on port 53 of an address in a place."""
        udp = trio.socket.from_stdlib_socket(make_socket(place, (address, 53), socket.SOCK_DGRAM))
        listening = make_socket(place, (address, 53), socket.SOCK_STREAM)
        listening.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._datagrams, udp)
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            nursery.start_soon(trio.serve_listeners, self._stream, [listener])
            task_status.started(self)

    async def _datagrams(self, sock: trio.socket.SocketType) -> None:
        while True:
            packet, peer = await sock.recvfrom(4096)
            await sock.sendto(self._reply(packet, "udp").to_wire(), peer)

    async def _stream(self, stream: trio.SocketStream) -> None:
        while len(head := await stream.receive_some(2)) == 2:
            packet = await stream.receive_some(int.from_bytes(head, "big"))
            reply = self._reply(packet, "tcp").to_wire()
            await stream.send_all(len(reply).to_bytes(2, "big") + reply)

    def _reply(self, packet: bytes, protocol: str) -> dns.message.Message:
        query = dns.message.from_wire(packet)
        reply = dns.message.make_response(query, recursion_available=True)
        owner, wanted = query.question[0].name, query.question[0].rdtype
        name = owner.to_text(omit_final_dot=True)
        self.asked.append((name, protocol))
        if self.code != dns.rcode.NOERROR or name not in self.names:
            reply.set_rcode(self.code or dns.rcode.NXDOMAIN)
            return reply
        for text in self.names[name]:
            if not text[0].isdigit():
                reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", f"{text}."))
                owner = reply.answer[-1][0].target
            elif wanted == dns.rdatatype.A:
                reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "A", text))
        return reply
