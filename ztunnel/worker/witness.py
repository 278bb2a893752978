"""Follows one connection from its first moment to its end, and tells of both."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import trio

from mesh.net.flow import Ending, Flow, close_with_reset
from mesh.record import Event
from mesh.refusal import Reason, Refusal
from mesh.sampling import Sampling, continued
from mesh.trace import TraceContext
from ztunnel.channel.sighting import MOST_MOMENTS, Sighting
from ztunnel.worker.crowd import Crowd

if TYPE_CHECKING:
    from mesh.net.tunnel import Tunnel

_DRAINED: Final = Refusal(Reason.DRAINING, "it outlived the time that this worker had to drain")


def _nothing() -> None:
    return


def _lost(ending: Ending) -> Refusal | None:
    """Why a connection ended that neither of its sides ended."""
    return Refusal(Reason.TUNNEL_LOST, ending.detail) if ending.how == "closed" else None


class Witness:
    """What is known of one connection so far. It tells of the end exactly once, and then says that it is `done`."""

    __slots__ = (
        "_began",
        "_crowd",
        "_done",
        "_ended_for",
        "_flow",
        "_known",
        "_moments",
        "_outbound",
        "_over",
        "_refusal",
        "_tunnel",
    )

    def __init__(self, crowd: Crowd, *, outbound: bool, done: Callable[[], None] = _nothing) -> None:
        self._crowd = crowd
        self._began = trio.current_time()
        self._over = False
        self._outbound = outbound
        self._done = done
        self._known: dict[str, Any] = {}
        self._moments: list[tuple[str, float]] | None = None
        self._flow: Flow | None = None
        self._tunnel: Tunnel | None = None
        self._refusal: Refusal | None = None
        self._ended_for: Callable[[], Refusal | None] = _nothing
        crowd.enter(self)

    def learn(self, **known: Any) -> None:
        """More is known of the connection: fields of the sighting."""
        self._known.update(known)

    def traced(self, sampling: Sampling | None, parent: TraceContext | None = None) -> TraceContext | None:
        """It is to become a span, after `parent` if there is one: returned; None where no spans are made."""
        if sampling is None:
            return None
        step = continued(parent, parent.sampled if parent is not None else None, sampling, random.randbytes)
        self._moments = []
        self.learn(step=step, trace=step.own.trace)
        return step.own

    def passed(self, moment: str) -> None:
        """It has come so far now."""
        if self._moments is not None and len(self._moments) < MOST_MOMENTS:
            self._moments.append((moment, trio.current_time() - self._began))

    def carried_by(self, tunnel: Tunnel) -> None:
        """It is a stream of this tunnel, and ends with it."""
        self._tunnel = tunnel

    def failed(self, sock: socket.socket | None) -> None:
        """This proxy is at fault, as its log tells: end the connection, whose socket `sock` is until bytes flow."""
        if self._flow is not None:
            self._flow.abort()
        elif sock is not None:
            close_with_reset(sock)
        self.vanished()

    def vanished(self) -> None:
        """It had gone before anything was known of it; nobody need hear."""
        if not self._over:
            self._over = True
            self._crowd.leave(self)
            self._done()

    def refused(self, refusal: Refusal) -> None:
        """It ended before bytes could flow."""
        self._end(refusal=refusal)

    def follow(self, flow: Flow, ended_for: Callable[[], Refusal | None] = _nothing) -> None:
        """Bytes flow now: stay with it to its end, after which `ended_for` is asked why we ended it, if we did."""
        if self._over:
            flow.abort()
            return
        self._flow = flow
        self._ended_for = ended_for
        self._known["connect_seconds"] = trio.current_time() - self._began
        self._crowd.tell(Sighting(Event.OPENED, self._outbound, **self._known))
        flow.when_ended(self._flow_ended)

    def abort(self) -> None:
        """End it, because the worker ends."""
        if self._flow is None:
            self.refused(_DRAINED)
        else:
            self._refusal = _DRAINED
            self._flow.abort()

    def _flow_ended(self) -> None:
        flow = self._flow
        assert flow is not None  # noqa: S101  it was followed
        assert flow.ending is not None  # noqa: S101  it tells of its end
        answered = flow.first_byte if self._outbound else None
        if flow.ending.how == "reset":
            self._known["ending"] = flow.ending.detail
        self._end(
            sent=flow.sent,
            received=flow.received,
            first_byte_seconds=answered - self._began if answered is not None else None,
            refusal=self._why(flow.ending),
        )

    def _why(self, ending: Ending) -> Refusal | None:
        revoked = self._tunnel.ended_for if self._tunnel is not None else None
        return self._ended_for() or self._refusal or revoked or _lost(ending)

    def _end(self, **known: Any) -> None:
        if not self._over:
            elapsed = trio.current_time() - self._began
            if self._moments is not None:
                self.learn(moments=tuple(self._moments), ended=time.time_ns())
            self._crowd.tell(Sighting(Event.CLOSED, self._outbound, seconds=elapsed, **self._known, **known))
            self.vanished()
