"""Plain TCP connections made the way the mesh needs them."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

import trio

from mesh.address import IP, Address
from mesh.refusal import Reason, Refusal

CONNECT_TIMEOUT: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 180
_KEEP_ALIVE_PROBES: Final = 9
_IPV6_TRANSPARENT: Final = 75


async def dial(
    address: Address,
    *,
    timeout: float = CONNECT_TIMEOUT,
    mark: int | None = None,
    bind: IP | None = None,
    transparent: bool = False,
) -> socket.socket | Refusal:
    """Connect to `address` within `timeout` seconds; the socket is non-blocking and tuned.

    `mark` is the socket's fwmark. `bind` is the source address; `transparent` lets it be one that is not ours, as a
    proxy needs that shows its client's address (needs CAP_NET_RAW).
    """
    family = socket.AF_INET6 if address.ip.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        tune(sock)
        _prepare(sock, mark, bind, transparent=transparent)
        fault = await _connect(sock, (str(address.ip), address.port), timeout)
    except trio.TooSlowError:
        sock.close()
        hint = "does a NetworkPolicy or a firewall forbid it?"
        return Refusal(Reason.CONNECT_TIMEOUT, f"no connection to {address} within {timeout:g} s; {hint}")
    except OSError as failure:
        fault = failure.errno or errno.EINVAL
    except BaseException:
        sock.close()
        raise
    if fault:
        sock.close()
        return Refusal(Reason.CONNECT_FAILED, f"no connection to {address}: {os.strerror(fault)}")
    return sock


async def _connect(sock: socket.socket, target: tuple[str, int], timeout: float) -> int:
    """Connect; returns an errno, 0 for success. Raises trio.TooSlowError."""
    await trio.lowlevel.checkpoint_if_cancelled()
    fault = sock.connect_ex(target)
    if fault == errno.EINPROGRESS:
        # On the same host the kernel has often finished by now, and a task switch is saved.
        fault = sock.connect_ex(target)
    if fault == errno.EALREADY:
        with trio.fail_after(timeout):
            await trio.lowlevel.wait_writable(sock)
        fault = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return 0 if fault == errno.EISCONN else fault


def tune(sock: socket.socket) -> None:
    """Send small writes at once, and notice within half an hour that an idle peer has vanished."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_ALIVE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEP_ALIVE_PROBES)


def _prepare(sock: socket.socket, mark: int | None, bind: IP | None, *, transparent: bool) -> None:
    if mark is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    if bind is None:
        return
    if transparent:
        if bind.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        else:
            sock.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
    sock.bind((str(bind), 0))
