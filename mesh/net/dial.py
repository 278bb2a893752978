"""Plain TCP connections made the way the mesh needs them."""

from __future__ import annotations

import errno
import os
import random
import socket
from typing import Final

import trio

from mesh.address import IP, Address
from mesh.refusal import Reason, Refusal

CONNECT_TIMEOUT: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 180
_KEEP_ALIVE_PROBES: Final = 9
_IPV6_TRANSPARENT: Final = 75
_PORTS: Final = range(32_769, 61_000, 2)
"""Under an address that is not ours: odd ones, for Linux gives the owner of the address even ones first, and what
both of us sent from one port to one place could not be told apart."""
_PORTS_TRIED: Final = 16
_PORT_TAKEN: Final = {errno.EADDRNOTAVAIL, errno.EADDRINUSE}


async def dial(
    address: Address,
    *,
    timeout: float = CONNECT_TIMEOUT,
    mark: int | None = None,
    bind: IP | None = None,
    transparent: bool = False,
) -> socket.socket | Refusal:
    """Connect to `address` within `timeout` seconds; the socket is non-blocking and tuned.

    A port of ours need only be free toward `address`: a connection takes it from nobody who goes elsewhere, neither
    while it lives nor for the minute after.

    `mark` is the socket's fwmark. `bind` is the source address; `transparent` lets it be one that is not ours, as a
    proxy needs that shows its client's address (needs CAP_NET_RAW).
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    sock, fault = begin(address, mark, bind, transparent=transparent)
    try:
        if fault == errno.EALREADY:
            with trio.fail_after(timeout):
                await trio.lowlevel.wait_writable(sock)
            fault = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except trio.TooSlowError:
        sock.close()
        return too_slow(address, timeout)
    except BaseException:
        sock.close()
        raise
    if fault:
        sock.close()
        return failed(address, fault)
    return sock


def begin(address: Address, mark: int | None, bind: IP | None, *, transparent: bool) -> tuple[socket.socket, int]:
    """Start connecting, as described above: the socket, and 0 when it is done, EALREADY while it goes on, else the
    errno it failed by. Raises OSError when no socket is to be had.

    When it went on, the socket's turning writable tells that it is over, and SO_ERROR how.
    """
    family = socket.AF_INET6 if address.ip.version == 6 else socket.AF_INET
    for _ in range(_PORTS_TRIED if transparent else 1):
        sock = socket.socket(family, socket.SOCK_STREAM)
        fault = _begin(sock, address, mark, bind, transparent=transparent)
        if fault not in _PORT_TAKEN:
            break
        sock.close()
    return sock, fault


def _begin(sock: socket.socket, address: Address, mark: int | None, bind: IP | None, *, transparent: bool) -> int:
    target = (str(address.ip), address.port)
    try:
        sock.setblocking(False)
        tune(sock, distant=not transparent)
        _prepare(sock, mark, bind, transparent=transparent)
        fault = sock.connect_ex(target)
        if fault == errno.EINPROGRESS:
            # On the same host the kernel has often finished by now, and nobody need wait.
            fault = sock.connect_ex(target)
    except OSError as failure:
        return failure.errno or errno.EINVAL
    return 0 if fault == errno.EISCONN else fault


def failed(address: Address, fault: int) -> Refusal:
    """What a failed connection is told as."""
    return Refusal(Reason.CONNECT_FAILED, f"no connection to {address}: {os.strerror(fault)}")


def too_slow(address: Address, timeout: float) -> Refusal:
    """What a connection is told as that took longer than `timeout` seconds."""
    hint = "does a NetworkPolicy or a firewall forbid it?"
    return Refusal(Reason.CONNECT_TIMEOUT, f"no connection to {address} within {timeout:g} s; {hint}")


def tune(sock: socket.socket, *, distant: bool = True) -> None:
    """Send small writes at once, and notice within half an hour that an idle `distant` peer has vanished.

    What a listener accepts is tuned as the listener is.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if distant:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_ALIVE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEP_ALIVE_PROBES)


def _prepare(sock: socket.socket, mark: int | None, bind: IP | None, *, transparent: bool) -> None:
    if mark is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    if bind is None:
        return
    port = 0
    if transparent:
        if bind.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        else:
            sock.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = random.choice(_PORTS)  # noqa: S311 - any will do
    else:
        sock.setsockopt(socket.SOL_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((str(bind), port))
