"""Connections to endpoints: by tunnel where the endpoint has a proxy, by plain TCP where not; for HTTP, reused."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import trio

from mesh.net.carrier import Carrier, SocketCarrier
from mesh.net.dial import dial
from mesh.net.pool import Pool, PoolKey
from mesh.net.tunnel import DialFailed, Rejected, Stream
from mesh.refusal import Reason, Refusal
from waypoint.http.http1_client import Http1Client
from waypoint.http.http2 import Http2
from waypoint.http.link import Link

if TYPE_CHECKING:
    from mesh.net.deadlines import Deadlines
    from mesh.net.relay import Relay
    from waypoint.endpoint import Endpoint

_IDLE_SECONDS: Final = 60.0
_LINKS: Final = 1024
"""HTTP connections to one endpoint."""

_log = logging.getLogger("waypoint")

TunnelHeaders = Sequence[tuple[bytes, bytes]]


class Seeker(Protocol):
    """Who wants a link to an endpoint."""

    reused: bool
    """Whether the link that is offered has served others before."""

    @property
    def told(self) -> TunnelHeaders:
        """What the other end hears of it if a tunnel's stream is opened for it."""

    @property
    def done(self) -> bool:
        """Whether it is wanted no more."""

    def ask(self, link: Link) -> bool:
        """Use this link; False when it cannot be used, or is wanted no more."""

    def fail(self, refusal: Refusal) -> None:
        """There is none."""


class Upstream:
    """All connections of one waypoint to endpoints. The relay must be running."""

    def __init__(
        self,
        relay: Relay,
        deadlines: Deadlines,
        pool: Pool,
        *,
        headers: TunnelHeaders = (),
        connect_seconds: float = 10.0,
    ) -> None:
        """`headers` go with every CONNECT."""
        self._relay = relay
        self._deadlines = deadlines
        self._pool = pool
        self._headers = headers
        self._connect_seconds = connect_seconds
        self._rows: dict[tuple[str, bool], _Row] = {}
        relay.on_tick.add(self._sweep)

    def ask(self, endpoint: Endpoint, seeker: Seeker, *, http2: bool, fresh: bool = False) -> None:
        """Give it a connection there is, or a new one; always a new one if `fresh`."""
        key = (endpoint.key, http2)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        elif not fresh and row.ask(seeker):
            return
        row.waiting.append(seeker)
        if http2 and row.dialling and not fresh:
            return  # whoever waits for an HTTP/2 connection shares it
        if len(row.links) + row.dialling >= _LINKS:
            row.waiting.remove(seeker)
            seeker.fail(Refusal(Reason.OVER_BUDGET, f"{_LINKS} connections to {endpoint.address} are in use"))
            return
        row.dialling += 1
        self._relay.spawn(self._dial, row, endpoint, http2, seeker.told)

    async def connect(self, endpoint: Endpoint, headers: TunnelHeaders = ()) -> Stream | socket.socket | Refusal:
        """A connection to the endpoint, for bytes of any kind."""
        if endpoint.tunnel is None:
            return await dial(endpoint.address, timeout=self._connect_seconds)
        answer: Stream | Rejected | Refusal = Refusal(
            Reason.CONNECT_TIMEOUT, f"{endpoint.workload.uid} did not answer CONNECT within {self._connect_seconds:g} s"
        )
        with trio.move_on_after(self._connect_seconds):
            try:
                at = PoolKey(endpoint.accepts, endpoint.tunnel)
                answer = await self._pool.connect(at, str(endpoint.address), (*self._headers, *headers))
            except DialFailed as fault:
                return fault.refusal
        return answer.refusal if isinstance(answer, Rejected) else answer

    def drain(self) -> None:
        """Let every connection end with its last exchange."""
        for row in self._rows.values():
            for link in row.links:
                link.drain()
        self._pool.drain()

    @property
    def connections(self) -> int:
        """How many HTTP connections there are."""
        return sum(len(row.links) for row in self._rows.values())

    async def _dial(self, row: _Row, endpoint: Endpoint, http2: bool, told: TunnelHeaders) -> None:
        made: Stream | socket.socket | Refusal = Refusal(Reason.DRAINING, "the waypoint ends")
        try:
            made = await self.connect(endpoint, told)
        except Exception as fault:  # noqa: BLE001  a fault of ours in one dial is that dial's; the others go on
            _log.exception("failed to reach %s", endpoint.address)
            made = Refusal(Reason.CONNECT_FAILED, f"no connection to {endpoint.address}: {fault}")
        finally:
            row.dialling -= 1
        if isinstance(made, Refusal):
            row.refuse(made, everybody=http2)
            return
        carrier: Carrier = made.carry() if isinstance(made, Stream) else SocketCarrier(self._relay, made)
        link = Link(self._relay, self._deadlines, carrier, Http2(client=True) if http2 else Http1Client(), row)
        row.links[link] = None
        link.start()
        if row.serve(link) and row.waiting and not row.dialling:
            row.dialling += 1
            self._relay.spawn(self._dial, row, endpoint, http2, row.waiting[0].told)

    def _sweep(self) -> None:
        """End what has been idle for long; forget the endpoints to which there is nothing left."""
        now = trio.current_time()
        for key, row in list(self._rows.items()):
            for link in list(row.links):
                if link.busy:
                    link.idle_since = 0.0
                elif not link.idle_since:
                    link.idle_since = now
                elif now - link.idle_since >= _IDLE_SECONDS:
                    link.drain()
            if not (row.links or row.dialling or row.waiting):
                del self._rows[key]


class _Row:
    """The links to one endpoint in one version of HTTP (waypoint.http.link.Owner)."""

    def __init__(self) -> None:
        self.links: dict[Link, None] = {}
        self.free: dict[Link, None] = {}
        """Those that may take a request; the one used last is asked first, so that what is not needed falls idle."""
        self.dialling = 0
        self.waiting: list[Seeker] = []

    def ask(self, seeker: Seeker) -> bool:
        """Give it a link there is."""
        while self.free:
            link = next(reversed(self.free))
            seeker.reused = True
            if seeker.ask(link):
                return True
            del self.free[link]
        seeker.reused = False
        return False

    def serve(self, link: Link) -> bool:
        """There is a new link: give it to those who wait, as many as it takes; whether it took any."""
        served = False
        while self.waiting:
            seeker = self.waiting[0]
            if not seeker.done and not seeker.ask(link):
                if not served:
                    self.refuse(Refusal(Reason.BACKEND_FAILED, "a new connection takes no request"), everybody=True)
                return served
            served = True
            self.waiting.remove(seeker)
        self.freed(link)
        return served

    def refuse(self, refusal: Refusal, *, everybody: bool) -> None:
        """There is no link."""
        refused, self.waiting = (self.waiting, []) if everybody else (self.waiting[:1], self.waiting[1:])
        for seeker in refused:
            seeker.fail(refusal)

    # ---- waypoint.http.link.Owner

    def begun(self, link: Link, stream: int) -> None:
        """A backend begins nothing."""

    def freed(self, link: Link) -> None:
        """It may take a request again."""
        if link.usable:
            self.free[link] = None

    def over(self, link: Link) -> None:
        """It is gone."""
        self.links.pop(link, None)
        self.free.pop(link, None)
