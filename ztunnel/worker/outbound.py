"""15001: what the pod's processes call. Each connection is planned, and then carried where the plan says."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from mesh.address import IP, Address
from mesh.hbone.headers import BAGGAGE, FORWARDED, TRACEPARENT, Forwarded, Traceparent
from mesh.health import Health
from mesh.net.dial import dial
from mesh.net.flow import Flow, close_with_reset
from mesh.net.pool import Pool, PoolKey
from mesh.net.relay import Relay
from mesh.net.tunnel import DialFailed, Rejected
from mesh.refusal import Reason, Refusal
from mesh.workload import Workload
from ztunnel.plan import Plan, Transport, Unresolved, Ways, ways
from ztunnel.worker.baggage import baggage
from ztunnel.worker.lookup import Lookup
from ztunnel.worker.names import Names
from ztunnel.worker.sockets import PACKET_MARK, original_destination, remote_address
from ztunnel.worker.witness import Tell, Witness

_ANSWER_SECONDS: Final = 30.0
"""How long a peer may take to answer a CONNECT; it must reach its application first."""
_ENDPOINTS: Final = 3
"""How many endpoints are tried for one connection."""


@dataclass(frozen=True, slots=True)
class Missed:
    """An endpoint was not reached. No byte of the caller's has left, so that another one may serve it as well."""

    refusal: Refusal


class Outbound:
    """Serves the connections of one pod's processes. `certified` says why no tunnel can be opened now, or None."""

    def __init__(
        self,
        relay: Relay,
        pool: Pool,
        lookup: Lookup,
        names: Names,
        tell: Tell,
        *,
        certified: Callable[[], Refusal | None],
        timeout: float,
    ) -> None:
        self._relay = relay
        self._pool = pool
        self._lookup = lookup
        self._names = names
        self._tell = tell
        self._certified = certified
        self._timeout = timeout
        self._health = Health()

    async def serve(self, sock: socket.socket) -> None:
        """Carry one connection from its first moment to its end. A refusal resets it."""
        witness = Witness(self._tell, outbound=True)
        try:
            source, destination = remote_address(sock), original_destination(sock)
        except OSError:
            sock.close()  # it has gone already
            return
        witness.learn(source=source, destination=destination)
        started = await self._start(sock, source, destination, witness)
        if isinstance(started, Refusal):
            witness.refused(started)
            close_with_reset(sock)
            return
        flow, endpoint = started
        try:
            await witness.follow(flow)
        finally:
            self._health.closed(endpoint)

    def refuse(self, sock: socket.socket, refusal: Refusal) -> None:
        """Tell of a connection that is not served."""
        witness = Witness(self._tell, outbound=True)
        with suppress(OSError):  # it has gone already
            witness.learn(source=remote_address(sock), destination=original_destination(sock))
        witness.refused(refusal)

    async def _start(
        self, sock: socket.socket, source: Address, destination: Address, witness: Witness
    ) -> tuple[Flow, str] | Refusal:
        """The live connection and, where one of several endpoints was chosen for it, that one's uid."""
        view = await self._lookup.around(destination.ip)
        if isinstance(view, Refusal):
            return view
        found = ways(view.snapshot, view.own, destination)
        if isinstance(found, Refusal):
            return found
        if isinstance(found, Ways):
            return await self._to_one_of(found, sock, source, view.own, witness)
        reached = await self._reach(sock, source, found, view.own, witness)
        if isinstance(reached, Missed):
            return reached.refusal
        return reached if isinstance(reached, Refusal) else (reached, "")

    async def _to_one_of(
        self, found: Ways, sock: socket.socket, source: Address, own: Workload, witness: Witness
    ) -> tuple[Flow, str] | Refusal:
        """Try endpoints until one is reached; those that are not are passed over for a while."""
        missed: Refusal | None = None
        tried: set[str] = set()
        for _ in range(_ENDPOINTS):
            began = trio.current_time()
            planned = found.pick(random.random, self._health, began, tried)
            if isinstance(planned, Refusal):
                return missed or planned
            if isinstance(planned, Unresolved):
                reached = await self._reach_named(sock, source, planned, own, witness)
            else:
                reached = await self._reach(sock, source, planned, own, witness)
            now = trio.current_time()
            if isinstance(reached, Refusal):
                return reached
            if not isinstance(reached, Missed):
                self._health.opened(planned.endpoint, now - began, now)
                return reached, planned.endpoint
            missed = reached.refusal
            tried.add(planned.endpoint)
            self._health.failed(planned.endpoint, now)
        return missed or Refusal(Reason.NO_HEALTHY_ENDPOINT, "no endpoint was tried")

    async def _reach_named(
        self, sock: socket.socket, source: Address, named: Unresolved, own: Workload, witness: Witness
    ) -> Flow | Missed | Refusal:
        witness.learn(endpoint=named.endpoint, service=named.service.key)
        found = await self._names.addresses(named.workload.hostname)
        planned = found if isinstance(found, Refusal) else named.at(found, random.random)
        if isinstance(planned, Refusal):
            return Missed(planned)
        return await self._reach(sock, source, planned, own, witness)

    async def _reach(
        self, sock: socket.socket, source: Address, planned: Plan, own: Workload, witness: Witness
    ) -> Flow | Missed | Refusal:
        witness.learn(
            destination=planned.target,
            endpoint=planned.endpoint,
            service=planned.service.key if planned.service is not None else "",
            tunnel=None,
            trace="",
        )
        if planned.transport is Transport.HBONE:
            return await self._tunnelled(sock, source, planned, own, witness)
        return await self._direct(sock, source, planned)

    async def _direct(self, sock: socket.socket, source: Address, planned: Plan) -> Flow | Missed:
        far = await dial(planned.connect_to, timeout=self._timeout, mark=PACKET_MARK, bind=_bind(source, planned))
        return Missed(far) if isinstance(far, Refusal) else self._relay.join(sock, far)

    async def _tunnelled(
        self, sock: socket.socket, source: Address, planned: Plan, own: Workload, witness: Witness
    ) -> Flow | Missed | Refusal:
        trace = Traceparent.of(os.urandom(24))
        witness.learn(tunnel=planned.connect_to, trace=trace.trace)
        refusal = self._certified()
        if refusal is not None:
            return refusal
        host = planned.service.hostname if planned.service is not None else ""
        headers = (
            (BAGGAGE, baggage(own)),
            (FORWARDED, Forwarded(source, host).encode()),
            (TRACEPARENT, trace.encode()),
        )
        key = PoolKey(planned.accepts, planned.connect_to, _bind(source, planned))
        try:
            with trio.fail_after(_ANSWER_SECONDS):
                stream = await self._pool.connect(key, planned.authority, headers)
        except DialFailed as fault:
            return Missed(fault.refusal)
        except trio.TooSlowError:
            return Refusal(Reason.CONNECT_TIMEOUT, f"{planned.connect_to} did not answer within {_ANSWER_SECONDS:g} s")
        if isinstance(stream, Rejected):
            return Missed(stream.refusal) if _may_differ_elsewhere(stream, planned) else stream.refusal
        witness.learn(peer=stream.tunnel.peer, mutual_tls=True)
        witness.carried_by(stream.tunnel)
        return stream.splice(sock)


def _may_differ_elsewhere(answer: Rejected, planned: Plan) -> bool:
    """Whether another endpoint may take what this one refused.

    Not when it says that the caller may not come in: nobody gets to try doors until one opens. Nor when a waypoint
    finds no endpoint, for its replicas would find none either.
    """
    return answer.unprocessed or (answer.status == 503 and not planned.waypoint)


def _bind(source: Address, planned: Plan) -> IP | None:
    """The pod's own address that its process called from, so that the callee sees the same one."""
    return source.ip if source.ip.version == planned.connect_to.ip.version else None
