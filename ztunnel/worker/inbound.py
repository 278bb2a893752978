"""15008 and 15006: who calls the pod, by HBONE or without a tunnel. Each is admitted, or refused with the reason."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio
from cryptography.x509 import Certificate

from mesh.address import IP, Address
from mesh.hbone.headers import BAGGAGE, FORWARDED, TRACEPARENT, Forwarded, Traceparent
from mesh.net.dial import dial, tune
from mesh.net.flow import Flow, close_with_reset
from mesh.net.relay import Relay
from mesh.net.tls import ServerTls
from mesh.net.tunnel import HandshakeFailed, Request, Tunnel
from mesh.quota import Quota
from mesh.refusal import Reason, Refusal
from ztunnel.admit import Admission, Arrival, admit, judge
from ztunnel.worker.baggage import baggage
from ztunnel.worker.live import Live
from ztunnel.worker.lookup import Lookup, View
from ztunnel.worker.sockets import PACKET_MARK, local_address, original_destination, remote_address
from ztunnel.worker.witness import Tell, Witness

_log = logging.getLogger("worker")


class Inbound:
    """Serves the callers of one pod. Requests are handled in tasks of `connections`."""

    def __init__(
        self,
        relay: Relay,
        lookup: Lookup,
        live: Live,
        tell: Tell,
        connections: trio.Nursery,
        *,
        tls: Callable[[], ServerTls | Refusal],
        streams: Quota,
        handshakes: Quota,
        timeout: float,
    ) -> None:
        self._relay = relay
        self._lookup = lookup
        self._live = live
        self._tell = tell
        self._connections = connections
        self._tls = tls
        self._streams = streams
        self._handshakes = handshakes
        self._timeout = timeout
        self._tunnels: set[Tunnel] = set()

    async def serve(self, sock: socket.socket) -> None:
        """One caller on 15008: shake hands, then serve its requests until it ends."""
        try:
            near, far = local_address(sock), remote_address(sock)
        except OSError:
            sock.close()  # it has gone already
            return
        witness = Witness(self._tell, outbound=False)
        witness.learn(source=far, destination=near)
        tunnel = await self._shaken(sock, far.ip)
        if isinstance(tunnel, Refusal):
            witness.refused(tunnel)
            return
        self._tunnels.add(tunnel)
        try:
            await tunnel.wait_closed()
        finally:
            self._tunnels.discard(tunnel)
            tunnel.abort()

    async def serve_plaintext(self, sock: socket.socket) -> None:
        """One caller on 15006, who has proved nothing. A refusal resets it."""
        witness = Witness(self._tell, outbound=False)
        try:
            far, destination = remote_address(sock), original_destination(sock)
            tune(sock)
        except OSError:
            sock.close()
            return
        witness.learn(source=far, destination=destination)
        application = await self._reach(Arrival(None, far.ip, destination), witness)
        if isinstance(application, Refusal):
            witness.refused(application)
            close_with_reset(sock)
            return
        admission, near, _ = application
        await self._carry(self._relay.join(near, sock), admission, witness)

    def refuse(self, sock: socket.socket, refusal: Refusal) -> None:
        """Tell of a connection that is not served."""
        witness = Witness(self._tell, outbound=False)
        with suppress(OSError):  # it has gone already
            witness.learn(source=remote_address(sock), destination=original_destination(sock))
        witness.refused(refusal)

    def end_if(self, verdict: Callable[[Sequence[Certificate]], Refusal | None]) -> None:
        """End the tunnels of those callers against whose certificates there is something."""
        for tunnel in tuple(self._tunnels):
            tunnel.end_if(verdict)

    def drain(self) -> None:
        """Take no new requests; every tunnel ends with its last stream."""
        for tunnel in tuple(self._tunnels):
            tunnel.drain()

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
            return await Tunnel.serve(self._relay, sock, tls, self._requested, on_fault=self._at_fault)
        except HandshakeFailed as fault:
            return fault.refusal
        finally:
            self._handshakes.give(caller)

    def _requested(self, request: Request) -> None:
        """Called in the relay."""
        refusal = self._streams.take(request.tunnel.remote.ip)
        if refusal is None:
            self._connections.start_soon(self._boundary, request)
            return
        request.refuse(refusal.reason.status)
        self._at_fault(request.tunnel, refusal)

    def _at_fault(self, tunnel: Tunnel, refusal: Refusal) -> None:
        """Called in the relay, at once: a peer that is to be heard of may stay for as long as it likes."""
        witness = Witness(self._tell, outbound=False)
        witness.learn(source=tunnel.remote, destination=tunnel.local, peer=tunnel.peer, mutual_tls=True)
        witness.refused(refusal)

    async def _boundary(self, request: Request) -> None:
        try:
            await self._serve_request(request)
        except Exception:  # noqa: BLE001 - the boundary: whatever it was, the others go on
            _log.exception("a request ended by a fault of this proxy")
            request.refuse(500)
        finally:
            self._streams.give(request.tunnel.remote.ip)

    async def _serve_request(self, request: Request) -> None:
        tunnel = request.tunnel
        trace = Traceparent.parse(request.headers.get(TRACEPARENT, b""))
        forwarded = Forwarded.parse(request.headers.get(FORWARDED, b""))
        witness = Witness(self._tell, outbound=False)
        witness.learn(
            source=tunnel.remote,
            destination=_asked(request),
            peer=tunnel.peer,
            tunnel=tunnel.local,
            mutual_tls=True,
            trace=trace.trace if trace is not None else "",
        )
        host = forwarded.host if forwarded is not None else ""
        witness.carried_by(tunnel)
        arrival = Arrival(tunnel.peer, tunnel.remote.ip, tunnel.local, request.authority, host, tunnel.remote.port)
        application = await self._reach(arrival, witness)
        if isinstance(application, Refusal):
            request.refuse(application.reason.status)
            witness.refused(application)
            return
        admission, near, view = application
        stream = request.accept(((BAGGAGE, baggage(view.own)),))
        await self._carry(stream.splice(near), admission, witness)

    async def _reach(self, arrival: Arrival, witness: Witness) -> tuple[Admission, socket.socket, View] | Refusal:
        """Admit the caller and connect to the application in its name."""
        view = await self._lookup.ourselves()
        if isinstance(view, Refusal):
            return view
        admission = admit(view.snapshot, view.own, arrival)
        if isinstance(admission, Refusal):
            return admission
        witness.learn(
            destination=admission.upstream,
            service=admission.service.key if admission.service is not None else "",
            policy=admission.verdict.policy or "",
        )
        near = await self._dial(arrival, admission)
        if isinstance(near, Refusal):
            return near
        # Policies may have changed meanwhile, and the connection is not yet on the register of those that live.
        latest = self._lookup.view() or view
        verdict = judge(latest.snapshot, latest.own, admission.call)
        if isinstance(verdict, Refusal):
            near.close()
            return verdict
        return admission, near, latest

    async def _dial(self, arrival: Arrival, admission: Admission) -> socket.socket | Refusal:
        """The application sees its caller's own address; not so where that is the pod itself, or it is told instead."""
        upstream, header = admission.upstream, admission.header
        foreign = arrival.source != upstream.ip and header is None
        near = await dial(
            upstream,
            timeout=self._timeout,
            mark=PACKET_MARK,
            bind=arrival.source if foreign else None,
            transparent=foreign,
        )
        if not isinstance(near, Refusal) and header is not None:
            return _introduced(near, header.encode(), upstream)
        return near

    async def _carry(self, flow: Flow, admission: Admission, witness: Witness) -> None:
        with self._live.admitted(admission.call, flow.abort) as entry:
            await witness.follow(flow, lambda: entry.refusal)


def _introduced(near: socket.socket, header: bytes, upstream: Address) -> socket.socket | Refusal:
    """Tell the application who calls. Nothing has been sent before: all of it fits, or the application has gone."""
    with suppress(OSError):
        if near.send(header) == len(header):
            return near
    near.close()
    return Refusal(Reason.CONNECT_FAILED, f"{upstream} did not take the PROXY header")


def _asked(request: Request) -> Address:
    """What the caller wants to reach, for the record; where it came, if its wish cannot be read."""
    try:
        return Address.parse(request.authority)
    except ValueError:
        return request.tunnel.local
