"""A connection to the pod, from its arrival until bytes flow or it is refused; everything in the relay, in calls."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from mesh.address import Address
from mesh.hbone.headers import BAGGAGE, FORWARDED, Forwarded
from mesh.net.flow import Flow, close_with_reset
from mesh.net.reach import reach
from mesh.refusal import Reason, Refusal
from mesh.trace import TRACEPARENT, TraceContext
from ztunnel.admit import Admission, Arrival, judge
from ztunnel.worker.boundary import contained, contained_task
from ztunnel.worker.sockets import PACKET_MARK, original_destination

if TYPE_CHECKING:
    from mesh.net.reach import Reaching
    from mesh.net.tunnel import Request
    from ztunnel.worker.inbound import Inbound
    from ztunnel.worker.lookup import View
    from ztunnel.worker.witness import Witness

_FAULT: Final = 500
"""What a request is answered that this proxy is at fault with."""

_WITHDRAWN: Final = Refusal(Reason.CALLER_GONE, "the caller took its CONNECT back before the pod accepted it")


class Visit:
    """One connection to the pod, until bytes flow or it is refused."""

    __slots__ = ("_admission", "_dial", "_of", "_view", "_witness")

    _arrival: Arrival
    _admission: Admission
    _view: View

    def __init__(self, of: Inbound, witness: Witness) -> None:
        self._of = of
        self._witness = witness
        self._dial: Reaching | None = None

    def fail(self) -> None:
        """End it by a fault of ours."""
        raise NotImplementedError

    def _turn_away(self, refusal: Refusal) -> None:
        raise NotImplementedError

    def _let_in(self, near: socket.socket) -> Flow:
        raise NotImplementedError

    def _withdrawn(self) -> bool:
        """Whether the caller has taken it back, and has been told of."""
        return False

    def _come(self) -> None:
        """Admit it, as soon as the mesh knows this pod."""
        view = self._of.ground.lookup.view()
        if view is None:
            self._of.ground.tasks.start_soon(self._wait)
        else:
            self._admit(view)

    @contained_task
    async def _wait(self) -> None:
        self._admit(await self._of.ground.lookup.ourselves())

    @contained
    def _admit(self, view: View | Refusal) -> None:
        if self._withdrawn():
            return
        if isinstance(view, Refusal):
            self._refuse(view)
            return
        admission = self._of.admissions.of(view, self._arrival)
        if isinstance(admission, Refusal):
            self._refuse(admission)
            return
        self._view, self._admission = view, admission
        self._witness.learn(
            destination=admission.upstream,
            service=admission.service.key if admission.service is not None else "",
            policy=admission.verdict.policy or "",
            dry_run=admission.verdict.dry_run,
        )
        self._witness.passed("admitted")
        # The application sees its caller's own address; not so where that is the pod itself, or it is told instead.
        foreign = self._arrival.source != admission.upstream.ip and admission.header is None
        self._dial = reach(
            self._of.ground.relay,
            admission.upstream,
            self._reached,
            deadlines=self._of.ground.deadlines,
            timeout=self._of.ground.timeout,
            mark=PACKET_MARK,
            bind=self._arrival.source if foreign else None,
            transparent=foreign,
        )

    @contained
    def _reached(self, near: socket.socket | Refusal) -> None:
        self._dial = None
        if isinstance(near, Refusal):
            self._refuse(near)
            return
        # Policies may have changed meanwhile, and the connection is not yet on the register of those that live.
        latest = self._of.ground.lookup.view() or self._view
        if latest is not self._view:
            verdict = judge(latest.snapshot, latest.own, self._admission.call)
            if isinstance(verdict, Refusal):
                near.close()
                self._refuse(verdict)
                return
        if not _introduced(near, self._admission):
            self._refuse(Refusal(Reason.CONNECT_FAILED, f"{self._admission.upstream} did not take the PROXY header"))
            return
        flow = self._let_in(near)
        live = self._of.live
        entry = live.admit(self._admission.call, flow.abort)
        self._witness.follow(flow, partial(live.leave, entry))

    def _refuse(self, refusal: Refusal) -> None:
        self._witness.refused(refusal)
        self._turn_away(refusal)


class TunnelVisit(Visit):
    """By a CONNECT on a tunnel."""

    __slots__ = ("_arrival", "_request")

    def __init__(self, of: Inbound, request: Request, witness: Witness) -> None:
        super().__init__(of, witness)
        self._request = request

    @contained
    def begin(self) -> None:
        """Read who asks for what."""
        request, tunnel = self._request, self._request.tunnel
        trace = TraceContext.parse(request.headers.get(TRACEPARENT, b""))
        forwarded = Forwarded.parse(request.headers.get(FORWARDED, b""))
        self._witness.learn(
            source=tunnel.remote,
            destination=_asked(request),
            peer=tunnel.peer,
            tunnel=tunnel.local,
            mutual_tls=True,
            trace=trace.trace if trace is not None else "",
        )
        self._witness.traced(self._of.ground.sampling, trace)
        self._witness.carried_by(tunnel)
        host = forwarded.host if forwarded is not None else ""
        self._arrival = Arrival(
            tunnel.peer, tunnel.remote.ip, tunnel.local, request.authority, host, tunnel.remote.port
        )
        request.when_withdrawn(self._give_up)
        self._come()

    @contained
    def _give_up(self) -> None:
        """Nobody waits for the application any more: do not wait either."""
        if self._dial is not None:
            self._dial.abort()
            self._dial = None
        self._refuse(_WITHDRAWN)

    def _withdrawn(self) -> bool:
        return self._request.withdrawn

    def fail(self) -> None:
        """See `Visit`."""
        self._witness.failed(None)
        self._request.refuse(_FAULT)

    def _turn_away(self, refusal: Refusal) -> None:
        self._request.refuse(refusal.reason.status)

    def _let_in(self, near: socket.socket) -> Flow:
        view = self._of.ground.lookup.view() or self._view
        return self._request.accept(((BAGGAGE, self._of.introduction.of(view)),)).splice(near)


class PlainVisit(Visit):
    """Without a tunnel."""

    __slots__ = ("_arrival", "_sock", "_source")

    def __init__(self, of: Inbound, sock: socket.socket, source: Address, witness: Witness) -> None:
        super().__init__(of, witness)
        self._sock = sock
        self._source = source

    @contained
    def begin(self) -> None:
        """Read where it was bound for."""
        try:
            destination = original_destination(self._sock)
        except OSError:
            self._sock.close()  # it has gone already
            self._witness.vanished()
            return
        self._witness.learn(source=self._source, destination=destination)
        self._witness.traced(self._of.ground.sampling)
        self._arrival = Arrival(None, self._source.ip, destination)
        self._come()

    def fail(self) -> None:
        """See `Visit`."""
        self._witness.failed(self._sock)

    def _turn_away(self, _refusal: Refusal) -> None:
        close_with_reset(self._sock)

    def _let_in(self, near: socket.socket) -> Flow:
        return self._of.ground.relay.join(near, self._sock)


def _introduced(near: socket.socket, admission: Admission) -> bool:
    """Tell the application who calls, if it asked to be told.

    Nothing has been sent before: all of it fits, or the application has gone, and the socket is closed.
    """
    if admission.header is None:
        return True
    header = admission.header.encode()
    with suppress(OSError):
        if near.send(header) == len(header):
            return True
    near.close()
    return False


def _asked(request: Request) -> Address:
    """What the caller wants to reach, for the record; where it came, if its wish cannot be read."""
    try:
        return Address.parse(request.authority)
    except ValueError:
        return request.tunnel.local
