"""One HBONE connection: mutual TLS, HTTP/2, and the CONNECT streams on it, at either end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import trio

from mesh.address import IP, Address, parse_ip
from mesh.hbone.connection import Connection
from mesh.hbone.frames import ErrorCode
from mesh.net.dial import CONNECT_TIMEOUT, dial, tune
from mesh.net.exchange import Asked, Rejected, Request, Stream, Told
from mesh.net.handshake import HANDSHAKE_TIMEOUT, shake
from mesh.net.wire import Wire
from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from mesh.hbone.fields import Answer, Connect
    from mesh.hbone.literals import Field
    from mesh.hbone.stream import StreamState
    from mesh.hbone.violation import Violation
    from mesh.identity import Identity
    from mesh.net.relay import Relay
    from mesh.net.tls import ClientTls, ServerTls, Session

__all__ = ["DialFailed", "HandshakeFailed", "Rejected", "Request", "Stream", "Tunnel", "address_of"]


class DialFailed(Exception):
    """No tunnel to the peer; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class HandshakeFailed(Exception):
    """A caller that did not become a tunnel; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Tunnel:
    """Made by `dial` and `serve` only. Streams on it are independent; the tunnel ends when told, or when it breaks."""

    def __init__(self, relay: Relay, sock: socket.socket, session: Session, peer: Identity, *, client: bool) -> None:
        self.peer = peer
        self.chain = session.chain()
        self.ended_for: Refusal | None = None
        """Why we ended it, if it was for what became known of the peer."""
        self.local = address_of(sock.getsockname())
        self.remote = address_of(sock.getpeername())
        self.connection = Connection(self, client=client)
        self.wire = Wire(relay, sock, session, self.connection, self._gone)
        self.on_idle: Callable[[], None] | None = None
        """Called when the last stream has ended."""
        self._on_request: Callable[[Request], None] | None = None
        self._on_fault: Callable[[Tunnel, Refusal], None] | None = None
        self._ready = trio.Event()
        self._closed = trio.Event()

    @staticmethod
    async def dial(
        relay: Relay,
        address: Address,
        tls: ClientTls,
        accepts: frozenset[Identity],
        *,
        timeout: float = CONNECT_TIMEOUT,
        mark: int | None = None,
        bind: IP | None = None,
    ) -> Tunnel:
        """Connect, prove who we are, and see that the peer is one of `accepts` and lets us in. Raises DialFailed.

        `timeout` seconds are given to the connection, and as many to the handshakes on it.
        """
        sock = await dial(address, timeout=timeout, mark=mark, bind=bind)
        if isinstance(sock, Refusal):
            raise DialFailed(sock)
        return await Tunnel.over(relay, sock, tls, accepts, timeout=timeout)

    @staticmethod
    async def over(
        relay: Relay,
        sock: socket.socket,
        tls: ClientTls,
        accepts: frozenset[Identity],
        *,
        timeout: float = HANDSHAKE_TIMEOUT,
    ) -> Tunnel:
        """The same over a socket that is connected already, which the tunnel then owns. Raises DialFailed."""
        made: Tunnel | Refusal = Refusal(Reason.HANDSHAKE_TIMEOUT, f"no HTTP/2 within {timeout:g} s")
        try:
            with trio.move_on_after(timeout):
                made = await _introduce(relay, sock, tls, accepts, timeout)
        except BaseException:
            sock.close()
            raise
        if isinstance(made, Refusal):
            sock.close()
            raise DialFailed(made)
        return made

    @staticmethod
    async def serve(
        relay: Relay,
        sock: socket.socket,
        tls: ServerTls,
        on_request: Callable[[Request], None],
        *,
        on_fault: Callable[[Tunnel, Refusal], None] | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> Tunnel:
        """Shake hands with a caller; its requests then go to `on_request`, which is called in the relay.

        `on_fault`, called there too, hears what HTTP/2 itself refused: a request that is none, or the connection.
        Raises HandshakeFailed.
        """
        try:
            sock.setblocking(False)
            tune(sock)
            session = tls.session()
            peer = await shake(sock, session, tls.peer, handshake_timeout)
            made = peer if isinstance(peer, Refusal) else _made(relay, sock, session, peer, client=False)
        except BaseException:
            sock.close()
            raise
        if isinstance(made, Refusal):
            sock.close()
            raise HandshakeFailed(made)
        made._on_request, made._on_fault = on_request, on_fault
        made.wire.start()
        return made

    def end_if(self, verdict: Callable[[Sequence[Certificate]], Refusal | None]) -> None:
        """End it at once, with all its streams, if there is something against the peer's chain of certificates."""
        refusal = verdict(self.chain)
        if refusal is not None:
            self.ended_for = refusal
            self.abort()

    async def connect(self, authority: str, headers: Iterable[Field] = ()) -> Stream | Rejected:
        """Client: ask the peer for a connection to `authority`. Cancelling gives the request up.

        Raises ValueError for an authority that is not ASCII. The caller sets the deadline.
        """
        if not self.usable:
            return Rejected(503, detail="the tunnel takes no more streams", unprocessed=True)
        got: list[Stream | Rejected] = []
        settled = trio.Event()

        def told(answer: Stream | Rejected) -> None:
            got.append(answer)
            settled.set()

        asked = self.ask(authority, headers, told)
        try:
            await settled.wait()
        except BaseException:
            asked.withdraw()
            raise
        return got[0]

    def ask(self, authority: str, headers: Iterable[Field], told: Told) -> Asked:
        """Client: the same without waiting, on a tunnel that is `usable`; `told` is called in the relay."""
        return Asked(self, self.connection.open(authority, headers), authority, told)

    def drain(self) -> None:
        """Take no new streams and close when the last one has ended; the peer is told by GOAWAY."""
        self.connection.drain()
        self._close_if_drained()

    def abort(self) -> None:
        """End the tunnel and all its streams now."""
        self.connection.abandon(ErrorCode.NO_ERROR, "the tunnel is closed")
        self.wire.flush()
        self.wire.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        await self._closed.wait()

    @property
    def streams(self) -> int:
        """How many are open or asked for."""
        return len(self.connection.streams)

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self.wire.gone

    @property
    def usable(self) -> bool:
        """Client: whether `connect` has a chance."""
        return self.connection.can_open and not self.wire.gone

    # ---- what the connection tells (mesh.hbone.owner.Owner)

    def output_pending(self) -> None:
        """Send it soon."""
        self.wire.relay.touch(self.wire)

    def settled(self) -> None:
        """The peer has let us in."""
        self._ready.set()

    def requested(self, stream: StreamState, connect: Connect) -> None:
        """Pass a CONNECT on."""
        if self._on_request is not None:
            self._on_request(Request(self, stream, connect))

    def turned_away(self, detail: str) -> None:
        """Tell of a request that is no CONNECT."""
        if self._on_fault is not None:
            self._on_fault(self, Refusal(Reason.BAD_REQUEST, detail))

    def answered(self, stream: StreamState, answer: Answer) -> None:
        """Tell the one who asked."""
        asked = stream.sink
        if isinstance(asked, Asked):
            asked.answered(answer)

    def going_away(self) -> None:
        """The peer drains: close when the last stream has ended."""
        self._close_if_drained()

    def emptied(self) -> None:
        """The last stream has ended."""
        self._close_if_drained()
        if self.on_idle is not None:
            self.on_idle()

    def failed(self, violation: Violation) -> None:
        """The connection is over; say so if it was for what the peer did."""
        self._ready.set()
        if violation.ours:
            self.wire.close()
            if violation.code and self._on_fault is not None:
                self._on_fault(self, Refusal(Reason.HTTP2_FAILED, f"the peer's HTTP/2 was at fault: {violation}"))

    def _close_if_drained(self) -> None:
        if self.connection.drained:
            self.wire.close()

    def _gone(self) -> None:
        self._closed.set()


async def _introduce(
    relay: Relay, sock: socket.socket, tls: ClientTls, accepts: frozenset[Identity], timeout: float
) -> Tunnel | Refusal:
    session = tls.session()
    peer = await shake(sock, session, lambda session: tls.peer(session, accepts), timeout)
    if isinstance(peer, Refusal):
        return peer
    tunnel = _made(relay, sock, session, peer, client=True)
    if isinstance(tunnel, Refusal):
        return tunnel
    tunnel.wire.start()
    try:
        await tunnel._ready.wait()
    except BaseException:
        tunnel.abort()
        raise
    violation = tunnel.connection.violation
    if violation is not None:
        # In TLS 1.3 a server judges our certificate after our side of the handshake is done.
        return Refusal(Reason.HTTP2_FAILED, f"the peer did not let us in: {violation.detail}")
    return tunnel


def _made(relay: Relay, sock: socket.socket, session: Session, peer: Identity, *, client: bool) -> Tunnel | Refusal:
    try:
        return Tunnel(relay, sock, session, peer, client=client)
    except OSError as fault:
        return Refusal(Reason.TLS_FAILED, f"the peer has gone: {fault.strerror}")


def address_of(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """A socket's name as the mesh writes addresses: IPv4 as IPv4, no zones."""
    return Address(parse_ip(name[0].partition("%")[0]), name[1])
