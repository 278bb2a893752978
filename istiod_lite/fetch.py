"""Fetches what a manifest points at: small, in time, and only from where whoever wrote it may have us look.

We stand where its author does not: beside the API server and the cloud's metadata. So nothing is fetched from our own
host or link, whatever name leads there; redirects are not followed; and what comes back is told to nobody but as keys.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import h11

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE: Final = 10.0
"""Seconds for the whole, from the name's look-up on."""
_CHUNK: Final = 16 * 1024
_METADATA: Final = tuple(
    map(ip_network, ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32"))
)
"""Where clouds give their machines credentials."""
_TRANSLATED: Final = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """From where is fetched. `networks` are allowed whatever they are; `ca` is trusted besides the system's own."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ca: Path | None = None

    def allows(self, ip: IPv4Address | IPv6Address) -> bool:
        """Whether anything may be fetched from this address."""
        if any(ip in network for network in self.networks if network.version == ip.version):
            return True
        inner = _inner(ip)
        if inner is not ip:
            return self.allows(inner)
        special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved
        return not special and not any(ip in network for network in _METADATA if network.version == ip.version)

    def trust(self) -> ssl.SSLContext:
        """Whose certificates are believed; OSError if they cannot be read."""
        context = ssl.create_default_context()
        if self.ca is not None:
            context.load_verify_locations(self.ca)
        return context


async def fetch(uri: str, reach: Reach, most: int) -> str:
    """The text at an http or https address, of at most so many bytes. Raises OSError and ValueError."""
    try:
        async with asyncio.timeout(PATIENCE):
            return (await _fetch(uri, reach, most)).decode()
    except TimeoutError:
        raise TimeoutError(f"there was no answer within {PATIENCE:g} s") from None
    except UnicodeDecodeError:
        raise ValueError("the answer is no text") from None
    except h11.ProtocolError as fault:
        raise OSError(f"the answer is no HTTP: {fault}") from None


async def _fetch(uri: str, reach: Reach, most: int) -> bytes:
    parts = urlsplit(uri)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    ip = await _resolved(host, port, reach)
    reader, writer = await asyncio.open_connection(
        str(ip), port, ssl=reach.trust() if secure else None, server_hostname=host if secure else None
    )
    try:
        connection = h11.Connection(h11.CLIENT)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [("host", parts.netloc), ("accept", "application/json"), ("connection", "close")]
        request = h11.Request(method="GET", target=target, headers=headers)
        writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        return await _answer(connection, reader, most)
    finally:
        writer.transport.abort()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader, most: int) -> bytes:
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response) and event.status_code != 200:
            raise OSError(f"the answer is status {event.status_code}, not 200")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most:
                raise ValueError(f"the answer has more than {most} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("the connection ended without an answer")


async def _resolved(host: str, port: int, reach: Reach) -> IPv4Address | IPv6Address:
    """The address to connect to: looked up once, so that no second answer can lead elsewhere."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    addresses = [ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    refused = [ip for ip in addresses if not reach.allows(ip)]
    if refused:
        raise OSError(f"{host} is at {refused[0]}, from where nothing is fetched (see --jwks-network)")
    return addresses[0]


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _TRANSLATED:
        return IPv4Address(ip.packed[12:])
    return ip.ipv4_mapped or ip.sixtofour or ip
