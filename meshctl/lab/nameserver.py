"""Serves the lab's names on UDP and TCP port 53 of every node."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import dns.exception
import dns.message

from meshctl.lab.addressing import DNS
from meshctl.lab.names import Zone, answer
from meshctl.lab.netns import Netns

_TCP_IDLE_SECONDS = 10.0
_UDP_PAYLOAD = 1232

log = logging.getLogger(__name__)


class Nameserver:
    """One name server for all nodes; `zone` says what it knows at the moment."""

    def __init__(self, zone: Callable[[], Zone]) -> None:
        self._zone = zone

    async def serve(self, node: Netns) -> None:
        """Listen in a node's namespace for as long as the daemon runs."""
        loop = asyncio.get_running_loop()
        udp, tcp = node.socket(socket.SOCK_DGRAM), node.socket(socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (udp, tcp):
            sock.bind((str(DNS), 53))
        await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        await asyncio.start_server(self._connection, sock=tcp)

    def respond(self, packet: bytes, limit: int) -> bytes | None:
        """Return the answer to a packet, None if it is no query."""
        try:
            query = dns.message.from_wire(packet)
            return answer(query, _shuffled(self._zone(), query)).to_wire(max_size=limit)
        except dns.exception.TooBig:
            truncated = dns.message.make_response(query)
            truncated.flags |= dns.flags.TC
            return truncated.to_wire()
        except dns.exception.DNSException as error:
            log.debug("not a query: %s", error)
            return None

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_TCP_IDLE_SECONDS):
                    [length] = struct.unpack("!H", await reader.readexactly(2))
                    packet = await reader.readexactly(length)
                response = self.respond(packet, 65535)
                if response is None:
                    return
                writer.write(struct.pack("!H", len(response)) + response)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Nameserver) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._server.respond(data, _UDP_PAYLOAD)
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


def _shuffled(known: Zone, query: dns.message.Message) -> Zone:
    """Vary the order of a headless service's addresses, as clients tend to take the first."""
    if not query.question:
        return known
    name = query.question[0].name.to_text(omit_final_dot=True).lower()
    addresses = known.addresses.get(name, ())
    if len(addresses) < 2:
        return known
    return replace(known, addresses={**known.addresses, name: tuple(random.sample(addresses, len(addresses)))})
