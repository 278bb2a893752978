"""The sockets of a worker: where a captured connection was bound for, and how connections of its own are made.

Every socket that a worker opens carries the mark that the capture rules let pass; without it the worker would capture
itself. All of it needs CAP_NET_RAW in the pod's network namespace and nothing else.
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import trio

from mesh.address import IP, Address, parse_ip, plain_ip
from mesh.refusal import Reason, Refusal

PACKET_MARK: Final = 0x539
"""What Istio's capture rules know the proxy's own packets by."""

_SO_MARK: Final = 36
_SO_ORIGINAL_DST: Final = 80
_IP_FREEBIND: Final = 15
_IP_TRANSPARENT: Final = 19
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_IPV6_TRANSPARENT: Final = 75
_IPV6_FREEBIND: Final = 78
_KEEPALIVE_SECONDS: Final = 180
_KEEPALIVE_PROBES: Final = 9

_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")


def local_address(sock: socket.socket) -> Address:
    """The near end of a connection; an IPv4 address also on a dual-stack socket."""
    ip, port = sock.getsockname()[:2]
    return Address(parse_ip(ip), port)


def remote_address(sock: socket.socket) -> Address:
    """The far end of a connection. Raises OSError when the peer is gone already."""
    ip, port = sock.getpeername()[:2]
    return Address(parse_ip(ip), port)


def original_destination(sock: socket.socket) -> Address:
    """Where the caller meant to go, before the capture rules redirected it; the near end if they did not."""
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


def tune(sock: socket.socket) -> None:
    """Send small messages at once, and notice a peer that vanished."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)


def reset(sock: socket.socket) -> None:
    """Close with RST, so that the peer sees a refusal and not the end of an answer."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        sock.close()


async def connect(target: Address, *, source: IP | None = None, timeout: float) -> socket.socket | Refusal:
    """A marked connection to `target`, ready for the relay; a Refusal when it cannot be had within `timeout` seconds.

    With `source` the connection shows that address to its peer, although it may be foreign to this namespace: the
    application sees its real caller.
    """
    sock = socket.socket(socket.AF_INET if target.ip.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    made = False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, PACKET_MARK)
        tune(sock)
        if source is not None and source != target.ip:
            _pose_as(sock, source)
        with trio.fail_after(timeout):
            await _established(sock, target)
        made = True
    except trio.TooSlowError:
        return Refusal(Reason.CONNECT_TIMEOUT, f"{target} did not answer within {timeout:g} s")
    except OSError as fault:
        return Refusal(Reason.CONNECT_FAILED, f"cannot connect to {target}: {fault.strerror or fault}")
    finally:
        if not made:
            sock.close()
    return sock


def _pose_as(sock: socket.socket, source: IP) -> None:
    if source.version == 4:
        sock.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)
        sock.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    # The port is chosen with the destination known, so one caller's connections are not limited by the port range.
    sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((str(source), 0))


async def _established(sock: socket.socket, target: Address) -> None:
    code = sock.connect_ex((str(target.ip), target.port))
    if code == errno.EINPROGRESS:
        await trio.lowlevel.wait_writable(sock.fileno())
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, errno.errorcode.get(code, str(code)))
