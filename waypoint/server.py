"""The waypoint's HBONE server: takes tunnels, finds out what each stream is for, and has it served."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol

import trio

from mesh.address import Address
from mesh.identity import Identity
from mesh.net.carrier import Carrier, SocketCarrier
from mesh.net.flow import close_with_reset
from mesh.net.relay import Relay
from mesh.net.tls import ServerTls
from mesh.net.tunnel import HandshakeFailed, Request, Stream, Tunnel, address_of
from mesh.quota import Quota
from mesh.record import Event
from mesh.refusal import Refusal
from mesh.trace import TRACEPARENT, TraceContext
from waypoint import sniff
from waypoint.callee import Callee, Speech, resolve, speech
from waypoint.conversation import Conversation
from waypoint.opaque import Opaque, as_socket
from waypoint.report import Arrival, of_connection, of_fault
from waypoint.scene import Scene
from waypoint.sniff import Sniffed

_HANDSHAKES: Final = 256
"""Handshakes in progress; more callers wait in the listener's queue."""
_HANDSHAKES_OF_ONE: Final = 32
"""Those of a single caller's address: whoever leaves them half done keeps nobody else out."""
_QUEUE: Final = 1024
_FIRST_READ: Final = 16 * 1024

_log = logging.getLogger("waypoint")


class _Drains(Protocol):
    def drain(self) -> None: ...


class _Rechecked(Protocol):
    def recheck(self) -> None: ...


class Server:
    """All tunnels to this waypoint. `tls` gives the credentials in force for each new one."""

    def __init__(self, scene: Scene, relay: Relay, tls: Callable[[], ServerTls]) -> None:
        self._scene = scene
        self._relay = relay
        self._tls = tls
        self._tunnels: set[Tunnel] = set()
        self._conversations: set[Conversation] = set()
        self._opaque: set[Opaque] = set()
        self._handshakes = trio.CapacityLimiter(_HANDSHAKES)
        self._shares = Quota("handshakes", _HANDSHAKES, _HANDSHAKES_OF_ONE)
        self._nursery: trio.Nursery | None = None
        self._draining = False
        relay.on_tick.add(self._sweep)

    async def serve(self, listener: trio.SocketListener) -> None:
        """Accept callers until cancelled."""
        listening = listener.socket
        listening.listen(_QUEUE)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while True:
                await self._handshakes.acquire_on_behalf_of(token := object())
                try:
                    sock, _ = await listening.accept()
                except OSError as fault:
                    self._handshakes.release_on_behalf_of(token)
                    _log.warning("cannot accept a caller: %s", fault)
                    await trio.sleep(0.1)
                    continue
                nursery.start_soon(self._welcome, sock, token)

    def recheck(self) -> None:
        """The configuration has changed: end what is no longer allowed."""
        rechecked: list[_Rechecked] = [*self._opaque, *self._conversations]
        for one in rechecked:
            one.recheck()

    def drain(self) -> None:
        """Finish what is in progress; tell callers that nothing new is taken."""
        self._draining = True
        everything: list[_Drains] = [*self._conversations, *self._tunnels]
        for one in everything:
            one.drain()

    async def wait_drained(self) -> None:
        """Wait until the last tunnel has ended."""
        for tunnel in list(self._tunnels):
            await tunnel.wait_closed()

    def abort(self) -> None:
        """End what is still there."""
        for tunnel in list(self._tunnels):
            tunnel.abort()

    @property
    def tunnels(self) -> int:
        """How many there are."""
        return len(self._tunnels)

    async def _welcome(self, accepted: trio.socket.SocketType, token: object) -> None:
        try:
            sock = socket.socket(fileno=accepted.detach())
            tunnel = await self._shaken(sock, address_of(sock.getpeername()))
        except OSError as fault:
            _log.info("a caller has gone: %s", fault)
            return
        finally:
            self._handshakes.release_on_behalf_of(token)
        if tunnel is None:
            return
        self._tunnels.add(tunnel)
        if self._draining:
            tunnel.drain()
        await tunnel.wait_closed()
        self._tunnels.discard(tunnel)

    async def _shaken(self, sock: socket.socket, caller: Address) -> Tunnel | None:
        refusal = self._shares.take(caller.ip)
        if refusal is not None:
            close_with_reset(sock)
            self._tell(caller, None, refusal)
            return None
        try:
            return await Tunnel.serve(self._relay, sock, self._tls(), self._requested, on_fault=self._at_fault)
        except HandshakeFailed as fault:
            self._tell(caller, None, fault.refusal)
            return None
        finally:
            self._shares.give(caller.ip)

    def _at_fault(self, tunnel: Tunnel, refusal: Refusal) -> None:
        self._tell(tunnel.remote, tunnel.peer, refusal)

    def _tell(self, address: Address, identity: Identity | None, refusal: Refusal) -> None:
        scene = self._scene
        scene.report(of_fault(scene.current(), scene.here, address, identity, refusal))

    def _requested(self, request: Request) -> None:
        """Called in the relay. HTTP is served there to its end; what takes time gets a task."""
        try:
            self._take(request)
        except Exception:  # noqa: BLE001  a fault of ours in one stream is that stream's; the others go on
            _log.exception("failed to take %s for %s", request.peer, request.authority)
            request.refuse(500)

    def _take(self, request: Request) -> None:
        scene = self._scene
        arrival = Arrival(request.peer, request.tunnel.remote, request.authority, self._trace(request))
        snapshot = scene.current()
        callee = resolve(snapshot, scene.here, request.authority)
        if isinstance(callee, Refusal):
            scene.report(of_connection(snapshot, scene.here, arrival, callee, Event.CLOSED, refusal=callee))
            request.refuse(callee.reason.status)
            return
        found = speech(snapshot, callee)
        if found is Speech.HTTP:
            self._converse(arrival, request.accept().carry())
        elif self._nursery is not None:
            self._nursery.start_soon(self._attend, request, arrival, callee, found)

    def _trace(self, request: Request) -> TraceContext | None:
        """The caller's connection as a span; None where nobody keeps that, or we make none."""
        if self._scene.sampling is None:
            return None
        trace = TraceContext.parse(request.headers.get(TRACEPARENT, b""))
        return trace if trace is not None and trace.sampled else None

    async def _attend(self, request: Request, arrival: Arrival, callee: Callee, found: Speech) -> None:
        try:
            if found is Speech.OPAQUE:
                await self._pass_opaque(request, arrival, callee)
            else:
                await self._find_out(request.accept(), arrival, callee)
        except Exception:  # noqa: BLE001  as above
            _log.exception("failed to serve %s for %s", request.peer, request.authority)

    async def _pass_opaque(self, request: Request, arrival: Arrival, callee: Callee) -> None:
        """Accepted only once the endpoint is connected, so that a failure to reach it shows as one."""
        opaque = Opaque(self._scene, arrival, callee)
        far = await opaque.open()
        if isinstance(far, Refusal):
            opaque.refused(far)
            request.refuse(far.reason.status)
            return
        await self._join(opaque, request.accept(), far)

    async def _find_out(self, stream: Stream, arrival: Arrival, callee: Callee) -> None:
        """Where nothing is declared the stream comes as a socket, which the relay can take over again."""
        sock, flow = as_socket(stream)
        transport = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        first, found = await _first(transport, self._scene.sniff_seconds)
        if found in {Sniffed.HTTP1, Sniffed.HTTP2}:
            near = socket.socket(fileno=transport.socket.detach())
            self._converse(arrival, SocketCarrier(self._relay, near), first)
            return
        opaque = Opaque(self._scene, arrival, callee, flow)
        far = await opaque.open()
        if isinstance(far, Refusal):
            opaque.refused(far)
            flow.abort()
            return
        near = socket.socket(fileno=transport.socket.detach())
        await self._join(opaque, near, far, first)

    def _converse(self, arrival: Arrival, carrier: Carrier, first: bytes = b"") -> None:
        conversation = Conversation(self._scene, arrival, carrier, self._conversations.discard)
        self._conversations.add(conversation)
        if self._draining:
            conversation.drain()
        conversation.start(first)

    def _sweep(self) -> None:
        now = trio.current_time()
        for one in list(self._conversations):
            one.sweep(now)

    async def _join(
        self, opaque: Opaque, near: Stream | socket.socket, far: Stream | socket.socket, first: bytes = b""
    ) -> None:
        self._opaque.add(opaque)
        try:
            await opaque.join(near, far, first)
        finally:
            self._opaque.discard(opaque)


async def _first(transport: trio.abc.ReceiveStream, seconds: float) -> tuple[bytes, Sniffed]:
    """Read until the first bytes tell what they are, or for so many seconds; a broken stream tells nothing."""
    first = b""
    found = Sniffed.UNDECIDED
    with trio.move_on_after(seconds):
        while found is Sniffed.UNDECIDED:
            try:
                data = await transport.receive_some(_FIRST_READ)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                break
            if not data:
                break
            first += data
            found = sniff.protocol(first)
    return first, found
