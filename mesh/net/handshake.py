"""TLS handshakes as ordinary trio tasks, and the refusals they may end in."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

import trio

from mesh.net.tls import HandshakeFault, PeerRefused, Session
from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mesh.identity import Identity

HANDSHAKE_TIMEOUT: Final = 10.0
_READ: Final = 16 * 1024


async def shake(
    sock: socket.socket, session: Session, judge: Callable[[Session], Identity], timeout: float
) -> Identity | Refusal:
    """Bring the session up over the socket within `timeout` seconds, and have the peer judged.

    The caller closes the socket after a refusal.
    """
    try:
        with trio.fail_after(timeout):
            await _exchange(trio.socket.from_stdlib_socket(sock), session)
        return judge(session)
    except trio.TooSlowError:
        return Refusal(Reason.HANDSHAKE_TIMEOUT, f"no TLS handshake within {timeout:g} s")
    except HandshakeFault as fault:
        _send_alert(sock, session)
        return fault.refusal
    except OSError as fault:
        return Refusal(Reason.TLS_FAILED, f"the connection broke during the TLS handshake: {fault.strerror or fault}")
    except PeerRefused as fault:
        return Refusal(fault.reason, fault.detail)


async def _exchange(sock: trio.socket.SocketType, session: Session) -> None:
    while True:
        done = session.handshake()
        ours = session.output()
        while ours:
            ours = ours[await sock.send(ours) :]
        if done:
            return
        theirs = await sock.recv(_READ)
        if not theirs:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the peer hung up")
        session.receive(theirs)


def _send_alert(sock: socket.socket, session: Session) -> None:
    """Let the peer know why, if its window has room."""
    alert = session.output()
    if alert:
        try:
            sock.send(alert)
        except OSError:
            return
