"""A live pair of connections whose bytes the relay moves, and how it ended."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import trio

if TYPE_CHECKING:
    from mesh.net.relay import Relay

How = Literal["fin", "reset", "closed", "aborted"]

_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a flow ended: by `fin` both ways, `reset` by one side, `closed` under it (its tunnel), `aborted` by us."""

    how: How
    detail: str = ""


class Flow:
    """What is common to both kinds. Left is the side of the application; right the tunnel, or the other socket."""

    __slots__ = ("_told", "ending", "first_byte", "received", "relay", "sent")

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.sent = 0
        """Bytes read from the left for the right."""
        self.received = 0
        """Bytes that came from the right for the left."""
        self.first_byte: float | None = None
        """trio's time at which the first byte came from the right."""
        self.ending: Ending | None = None
        self._told: tuple[Callable[[], None], ...] = ()
        relay.residents.add(self)

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call this when the flow ends, in the relay; at once if it has."""
        if self.ending is not None:
            call()
        else:
            self._told += (call,)

    async def wait(self) -> Ending:
        """Wait for the end. Being cancelled here leaves the flow alive."""
        ended = trio.Event()
        self.when_ended(ended.set)
        await ended.wait()
        assert self.ending is not None  # noqa: S101  the event says so
        return self.ending

    def abort(self) -> None:
        """End it now, with resets both ways."""
        raise NotImplementedError

    def _finish(self, how: How, detail: str = "") -> None:
        self.ending = Ending(how, detail)
        self.relay.residents.discard(self)
        told, self._told = self._told, ()
        for call in told:
            call()


def fault_of(sock: socket.socket) -> OSError | None:
    """What broke a socket that nobody reads now; None for a mere hang-up, when both sides have ended in order."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return OSError(code, os.strerror(code)) if code else None


def close_with_reset(sock: socket.socket) -> None:
    """Close so that the other side sees a reset and not an orderly end."""
    with suppress(OSError):  # already disconnected: there is nobody to see it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    sock.close()


def prepare(sock: socket.socket) -> None:
    """Make a socket fit for the relay: it never blocks, and a small write does not wait for a larger one.

    One that does not block already was made so by code that knows the relay, and the rest was done with it.
    """
    if sock.gettimeout() == 0:
        return
    sock.setblocking(False)
    with suppress(OSError):  # not TCP: nothing to hold back
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
