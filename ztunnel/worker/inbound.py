"""15008 and 15006: who calls the pod, by HBONE or without a tunnel. Each is admitted, or refused with the reason.

Handshakes are tasks; all else happens in the relay, in calls, as long as the mesh knows this pod.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from cryptography.x509 import Certificate

from mesh.address import IP, Address
from mesh.hbone.headers import BAGGAGE, FORWARDED, TRACEPARENT, Forwarded, Traceparent
from mesh.net.flow import Flow, close_with_reset
from mesh.net.reach import reach
from mesh.net.tls import ServerTls
from mesh.net.tunnel import HandshakeFailed, Request, Tunnel
from mesh.quota import Quota
from mesh.refusal import Reason, Refusal
from ztunnel.admit import Admission, Arrival, judge
from ztunnel.worker.boundary import contained, contained_task, served
from ztunnel.worker.decisions import Admissions, Introduction
from ztunnel.worker.ground import Ground
from ztunnel.worker.live import Live
from ztunnel.worker.lookup import View
from ztunnel.worker.sockets import PACKET_MARK, local_address, original_destination
from ztunnel.worker.witness import Witness

_FAULT: Final = 500
"""What a request is answered that this proxy is at fault with."""


class Inbound:
    """Serves the callers of one pod."""

    def __init__(
        self,
        ground: Ground,
        live: Live,
        *,
        tls: Callable[[], ServerTls | Refusal],
        streams: Quota,
        handshakes: Quota,
    ) -> None:
        self.ground = ground
        self.live = live
        self.admissions = Admissions()
        self.introduction = Introduction()
        self._tls = tls
        self._streams = streams
        self._handshakes = handshakes
        self._tunnels: set[Tunnel] = set()

    def take(self, sock: socket.socket, source: Address, done: Callable[[], None]) -> None:
        """One caller on 15008: shake hands, then serve its requests until it ends, which `done` hears of."""
        self.ground.tasks.start_soon(served, self._serve, sock, source, done)

    def take_plaintext(self, sock: socket.socket, source: Address, done: Callable[[], None]) -> None:
        """One caller on 15006, who has proved nothing. A refusal resets it."""
        _Plaintext(self, sock, source, Witness(self.ground.crowd, outbound=False, done=done)).begin()

    def refuse(self, sock: socket.socket, source: Address, refusal: Refusal) -> None:
        """Tell of a connection that is not served."""
        witness = Witness(self.ground.crowd, outbound=False)
        witness.learn(source=source)
        with suppress(OSError):  # it has gone already
            witness.learn(destination=original_destination(sock))
        witness.refused(refusal)

    def end_if(self, verdict: Callable[[Sequence[Certificate]], Refusal | None]) -> None:
        """End the tunnels of those callers against whose certificates there is something."""
        for tunnel in tuple(self._tunnels):
            tunnel.end_if(verdict)

    def drain(self) -> None:
        """Take no new requests; every tunnel ends with its last stream."""
        for tunnel in tuple(self._tunnels):
            tunnel.drain()

    async def _serve(self, sock: socket.socket, source: Address) -> None:
        try:
            near = local_address(sock)
        except OSError:
            sock.close()  # it has gone already
            return
        witness = Witness(self.ground.crowd, outbound=False)
        witness.learn(source=source, destination=near)
        tunnel = await self._shaken(sock, source.ip)
        if isinstance(tunnel, Refusal):
            witness.refused(tunnel)
            return
        witness.vanished()
        self._tunnels.add(tunnel)
        self.ground.crowd.enter(tunnel)
        await tunnel.wait_closed()  # when cancelled, the crowd aborts it, behind its streams
        self.ground.crowd.leave(tunnel)
        self._tunnels.discard(tunnel)

    async def _shaken(self, sock: socket.socket, caller: IP) -> Tunnel | Refusal:
        tls = self._tls()
        if isinstance(tls, Refusal):
            close_with_reset(sock)
            return tls
        refusal = self._handshakes.take(caller)
        if refusal is not None:
            close_with_reset(sock)
            return refusal
        try:
            return await Tunnel.serve(self.ground.relay, sock, tls, self._requested, on_fault=self._at_fault)
        except HandshakeFailed as fault:
            return fault.refusal
        finally:
            self._handshakes.give(caller)

    def _requested(self, request: Request) -> None:
        """Called in the relay."""
        caller = request.tunnel.remote.ip
        refusal = self._streams.take(caller)
        if refusal is None:
            done = partial(self._streams.give, caller)
            _Asked(self, request, Witness(self.ground.crowd, outbound=False, done=done)).begin()
            return
        request.refuse(refusal.reason.status)
        self._at_fault(request.tunnel, refusal)

    def _at_fault(self, tunnel: Tunnel, refusal: Refusal) -> None:
        """Called in the relay, at once: a peer that is to be heard of may stay for as long as it likes."""
        witness = Witness(self.ground.crowd, outbound=False)
        witness.learn(source=tunnel.remote, destination=tunnel.local, peer=tunnel.peer, mutual_tls=True)
        witness.refused(refusal)


class _Visit:
    """One connection to the pod, until bytes flow or it is refused."""

    __slots__ = ("_admission", "_of", "_view", "_witness")

    _arrival: Arrival
    _admission: Admission
    _view: View

    def __init__(self, of: Inbound, witness: Witness) -> None:
        self._of = of
        self._witness = witness

    def fail(self) -> None:
        """End it by a fault of ours."""
        raise NotImplementedError

    def _turn_away(self, refusal: Refusal) -> None:
        raise NotImplementedError

    def _let_in(self, near: socket.socket) -> Flow:
        raise NotImplementedError

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
        # The application sees its caller's own address; not so where that is the pod itself, or it is told instead.
        foreign = self._arrival.source != admission.upstream.ip and admission.header is None
        reach(
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


class _Asked(_Visit):
    """A CONNECT on a tunnel."""

    __slots__ = ("_arrival", "_request")

    def __init__(self, of: Inbound, request: Request, witness: Witness) -> None:
        super().__init__(of, witness)
        self._request = request

    @contained
    def begin(self) -> None:
        """Read who asks for what."""
        request, tunnel = self._request, self._request.tunnel
        trace = Traceparent.parse(request.headers.get(TRACEPARENT, b""))
        forwarded = Forwarded.parse(request.headers.get(FORWARDED, b""))
        self._witness.learn(
            source=tunnel.remote,
            destination=_asked(request),
            peer=tunnel.peer,
            tunnel=tunnel.local,
            mutual_tls=True,
            trace=trace.trace if trace is not None else "",
        )
        self._witness.carried_by(tunnel)
        host = forwarded.host if forwarded is not None else ""
        self._arrival = Arrival(
            tunnel.peer, tunnel.remote.ip, tunnel.local, request.authority, host, tunnel.remote.port
        )
        self._come()

    def fail(self) -> None:
        self._witness.failed(None)
        self._request.refuse(_FAULT)

    def _turn_away(self, refusal: Refusal) -> None:
        self._request.refuse(refusal.reason.status)

    def _let_in(self, near: socket.socket) -> Flow:
        view = self._of.ground.lookup.view() or self._view
        return self._request.accept(((BAGGAGE, self._of.introduction.of(view)),)).splice(near)


class _Plaintext(_Visit):
    """A connection without a tunnel."""

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
        self._arrival = Arrival(None, self._source.ip, destination)
        self._come()

    def fail(self) -> None:
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
