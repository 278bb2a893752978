"""15008 and 15006: who calls the pod, by HBONE or without a tunnel. Each is admitted, or refused with the reason.

Handshakes are tasks; all else happens in the relay, in calls, as long as the mesh knows this pod.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from cryptography.x509 import Certificate

from mesh.address import IP, Address
from mesh.net.flow import close_with_reset
from mesh.net.tls import ServerTls
from mesh.net.tunnel import HandshakeFailed, Request, Tunnel
from mesh.quota import Quota
from mesh.refusal import Refusal
from ztunnel.worker.boundary import served
from ztunnel.worker.decisions import Admissions, Introduction
from ztunnel.worker.ground import Ground
from ztunnel.worker.live import Live
from ztunnel.worker.sockets import local_address, original_destination
from ztunnel.worker.visit import PlainVisit, TunnelVisit
from ztunnel.worker.witness import Witness


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
        PlainVisit(self, sock, source, Witness(self.ground.crowd, outbound=False, done=done)).begin()

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
            TunnelVisit(self, request, Witness(self.ground.crowd, outbound=False, done=done)).begin()
            return
        request.refuse(refusal.reason.status)
        self._at_fault(request.tunnel, refusal)

    def _at_fault(self, tunnel: Tunnel, refusal: Refusal) -> None:
        """Called in the relay, at once: a peer that is to be heard of may stay for as long as it likes."""
        witness = Witness(self.ground.crowd, outbound=False)
        witness.learn(source=tunnel.remote, destination=tunnel.local, peer=tunnel.peer, mutual_tls=True)
        witness.refused(refusal)
