"""What the kernel knows of a captured connection: who opened it, and where it was bound for."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from mesh.address import Address, parse_ip, plain_ip

PACKET_MARK: Final = 0x539
"""What the capture rules know the proxy's own packets by; a socket without it would be captured by its own worker."""

_SO_ORIGINAL_DST: Final = 80
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")


def address_of(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """What the socket module calls an address; an IPv4 address also on a dual-stack socket."""
    return Address(parse_ip(name[0].partition("%")[0]), name[1])


def local_address(sock: socket.socket) -> Address:
    """The near end of a connection; an IPv4 address also on a dual-stack socket."""
    return address_of(sock.getsockname())


def original_destination(sock: socket.socket) -> Address:
    """Where the caller meant to go before the capture rules redirected it; the near end if they did not.

    Raises OSError when the kernel does not tell.
    """
    near = local_address(sock)
    try:
        if near.ip.version == 4:
            port, packed = _SOCKADDR_IN.unpack(sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size))
            return Address(IPv4Address(packed), port)
        port, packed = _SOCKADDR_IN6.unpack(sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, _SOCKADDR_IN6.size))
        return Address(plain_ip(IPv6Address(packed)), port)
    except OSError as fault:
        if fault.errno in {errno.ENOENT, errno.ENOPROTOOPT}:
            return near
        raise
