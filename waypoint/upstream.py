"""Connections to endpoints: by tunnel where the endpoint has a proxy, by plain TCP where not; for HTTP, reused."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from mesh.net.carrier import Carrier, SocketCarrier
from mesh.net.dial import dial
from mesh.net.pool import Pool, PoolKey
from mesh.net.tunnel import DialFailed, Rejected, Stream
from mesh.refusal import Reason, Refusal
from waypoint.circuit import Circuit
from waypoint.http.http1_client import Http1Client
from waypoint.http.http2 import Http2
from waypoint.http.link import Link
from waypoint.row import Row

if TYPE_CHECKING:
    from mesh.net.deadlines import Deadlines
    from mesh.net.relay import Relay
    from waypoint.endpoint import Endpoint
    from waypoint.row import Seeker

_IDLE_SECONDS: Final = 60.0
_LINKS: Final = 1024
"""HTTP connections to one endpoint."""

_log = logging.getLogger("waypoint")

TunnelHeaders = Sequence[tuple[bytes, bytes]]


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
        self._rows: dict[tuple[str, bool], Row] = {}
        self._circuits: dict[str, Circuit] = {}
        """By the service's key."""
        relay.on_tick.add(self._sweep)

    def ask(self, endpoint: Endpoint, seeker: Seeker, *, http2: bool, fresh: bool = False) -> None:
        """Give it a connection there is, or a new one; always a new one if `fresh`, as far as there may be one."""
        key = (endpoint.key, http2)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._row(endpoint, http2)
        elif not fresh and row.ask(seeker):
            return
        refusal = self._refused(row, endpoint)
        if refusal is not None:
            seeker.fail(refusal)
            return
        row.waiting.append(seeker)
        if http2 and row.dialling and not fresh:
            return  # whoever waits for an HTTP/2 connection shares it
        if row.circuit is None or row.wanting:
            self._begin(row, seeker.told)
            return
        if fresh:
            row.pass_on()
        if row.waiting and row.circuit is not None and row.circuit.full:
            self._give_up_a_spare(row.circuit)

    def enter(self, endpoint: Endpoint) -> Refusal | None:
        """Make room for a connection of opaque bytes; `left` is to be told of its end."""
        circuit = self._circuit(endpoint)
        return circuit.enter() if circuit is not None else None

    def left(self, endpoint: Endpoint) -> None:
        """It has ended."""
        circuit = self._circuits.get(endpoint.key_of_service) if endpoint.bounds is not None else None
        if circuit is not None and circuit.open:
            circuit.open -= 1
            self._room(circuit)

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

    async def _dial(self, row: Row, endpoint: Endpoint, http2: bool, told: TunnelHeaders) -> None:
        made: Stream | socket.socket | Refusal = Refusal(Reason.DRAINING, "the waypoint ends")
        try:
            made = await self.connect(endpoint, told)
        except Exception as fault:  # noqa: BLE001  a fault of ours in one dial is that dial's; the others go on
            _log.exception("failed to reach %s", endpoint.address)
            made = Refusal(Reason.CONNECT_FAILED, f"no connection to {endpoint.address}: {fault}")
        finally:
            row.dialling -= 1
        if isinstance(made, Refusal):
            if row.circuit is not None:
                row.circuit.open -= 1
            row.refuse(made, everybody=http2)
            if row.circuit is not None:
                self._room(row.circuit)
            return
        carrier: Carrier = made.carry() if isinstance(made, Stream) else SocketCarrier(self._relay, made)
        link = Link(self._relay, self._deadlines, carrier, Http2(client=True) if http2 else Http1Client(), row)
        row.links[link] = None
        link.start()
        if row.serve(link) and row.waiting and not row.dialling and (row.circuit is None or row.wanting):
            self._begin(row, row.waiting[0].told)

    def _row(self, endpoint: Endpoint, http2: bool) -> Row:
        return Row(endpoint, http2=http2, circuit=self._circuit(endpoint), room=self._room)

    def _circuit(self, endpoint: Endpoint) -> Circuit | None:
        """What bounds the connections to the endpoint's service, by the policy that is in force now."""
        if endpoint.bounds is None:
            return None
        circuit = self._circuits.setdefault(endpoint.key_of_service, Circuit(endpoint.bounds))
        circuit.policy = endpoint.bounds
        return circuit

    def _refused(self, row: Row, endpoint: Endpoint) -> Refusal | None:
        """Why a request that finds no free connection cannot even wait for one."""
        if len(row.links) + row.dialling >= _LINKS:
            return Refusal(Reason.OVER_BUDGET, f"{_LINKS} connections to {endpoint.address} are in use")
        circuit = self._circuit(endpoint)
        if circuit is None:
            return None
        return circuit.queue(one for one in self._rows.values() if one.circuit is circuit)

    def _begin(self, row: Row, told: TunnelHeaders) -> None:
        """Make one more connection."""
        row.dialling += 1
        if row.circuit is not None:
            row.circuit.open += 1
        self._relay.spawn(self._dial, row, row.endpoint, row.http2, told)

    def _give_up_a_spare(self, circuit: Circuit) -> None:
        """End a connection that another endpoint has to spare, so that one can be made where requests wait."""
        for row in self._rows.values():
            if row.circuit is circuit and (link := row.spare) is not None:
                del row.free[link]
                link.drain()
                return

    def _room(self, circuit: Circuit) -> None:
        """One connection of a circuit is no more: others may be made for those who wait."""
        for row in self._rows.values():
            while row.circuit is circuit and row.wanting:
                self._begin(row, row.waiting[0].told)

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
