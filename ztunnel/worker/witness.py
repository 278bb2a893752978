"""Follows one connection from its first moment to its end, and tells of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import trio

from mesh.net.flow import Ending, Flow
from mesh.record import Event
from mesh.refusal import Reason, Refusal
from ztunnel.channel.sighting import Sighting

if TYPE_CHECKING:
    from mesh.net.tunnel import Tunnel

Tell = Callable[[Sighting], None]


_DRAINED: Final = Refusal(Reason.DRAINING, "it outlived the time that this worker had to drain")


def _no_refusal() -> None:
    return


def _lost(ending: Ending) -> Refusal | None:
    """Why a connection ended that neither of its sides ended."""
    return Refusal(Reason.TUNNEL_LOST, ending.detail) if ending.how == "closed" else None


class Witness:
    """What is known of one connection so far. It tells of the end exactly once."""

    __slots__ = ("_began", "_known", "_outbound", "_tell", "_told", "_tunnel")

    def __init__(self, tell: Tell, *, outbound: bool) -> None:
        self._tell = tell
        self._began = trio.current_time()
        self._told = False
        self._outbound = outbound
        self._known: dict[str, Any] = {}
        self._tunnel: Tunnel | None = None

    def learn(self, **known: Any) -> None:
        """More is known of the connection: fields of the sighting."""
        self._known.update(known)

    def carried_by(self, tunnel: Tunnel) -> None:
        """It is a stream of this tunnel, and ends with it."""
        self._tunnel = tunnel

    def refused(self, refusal: Refusal) -> None:
        """It ended before bytes could flow."""
        self._end(refusal=refusal)

    async def follow(self, flow: Flow, ended_for: Callable[[], Refusal | None] = _no_refusal) -> None:
        """Bytes flow now: stay with it to its end. `ended_for` says whether we ended it; cancellation ends it."""
        self._known["connect_seconds"] = trio.current_time() - self._began
        self._tell(Sighting(Event.OPENED, self._outbound, **self._known))
        refusal: Refusal | None = _DRAINED
        try:
            ending = await flow.wait()
            revoked = self._tunnel.ended_for if self._tunnel is not None else None
            refusal = ended_for() or revoked or _lost(ending)
            if ending.how == "reset":
                self._known["ending"] = ending.detail
        finally:
            flow.abort()
            answered = flow.first_byte if self._outbound else None
            first_byte = answered - self._began if answered is not None else None
            self._end(sent=flow.sent, received=flow.received, first_byte_seconds=first_byte, refusal=refusal)

    def _end(self, **known: Any) -> None:
        if not self._told:
            self._told = True
            elapsed = trio.current_time() - self._began
            self._tell(Sighting(Event.CLOSED, self._outbound, seconds=elapsed, **self._known, **known))
