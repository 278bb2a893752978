"""15001: what the pod's processes call. Each connection is planned, and then carried where the plan says."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from typing import Final

import trio

from mesh.address import IP, Address
from mesh.hbone.headers import BAGGAGE, FORWARDED, TRACEPARENT, Forwarded, Traceparent
from mesh.net.dial import dial
from mesh.net.flow import Flow, close_with_reset
from mesh.net.pool import Pool, PoolKey
from mesh.net.relay import Relay
from mesh.net.tunnel import DialFailed, Rejected
from mesh.refusal import Reason, Refusal
from mesh.workload import Workload
from ztunnel.plan import Plan, Transport, plan
from ztunnel.worker.baggage import baggage
from ztunnel.worker.lookup import Lookup
from ztunnel.worker.sockets import PACKET_MARK, original_destination, remote_address
from ztunnel.worker.witness import Tell, Witness

_ANSWER_SECONDS: Final = 30.0
"""How long a peer may take to answer a CONNECT; it must reach its application first."""


class Outbound:
    """Serves the connections of one pod's processes. `certified` says why no tunnel can be opened now, or None."""

    def __init__(
        self,
        relay: Relay,
        pool: Pool,
        lookup: Lookup,
        tell: Tell,
        *,
        certified: Callable[[], Refusal | None],
        timeout: float,
    ) -> None:
        self._relay = relay
        self._pool = pool
        self._lookup = lookup
        self._tell = tell
        self._certified = certified
        self._timeout = timeout

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
        await witness.follow(started)

    def refuse(self, refusal: Refusal) -> None:
        """Tell of a connection that is not served."""
        Witness(self._tell, outbound=True).refused(refusal)

    async def _start(
        self, sock: socket.socket, source: Address, destination: Address, witness: Witness
    ) -> Flow | Refusal:
        view = await self._lookup.around(destination.ip)
        if isinstance(view, Refusal):
            return view
        planned = plan(view.snapshot, view.own, destination, random.random)
        if isinstance(planned, Refusal):
            return planned
        witness.learn(
            destination=planned.target,
            endpoint=planned.workload.uid if planned.workload is not None else "",
            service=planned.service.key if planned.service is not None else "",
        )
        if planned.transport is Transport.HBONE:
            return await self._tunnelled(sock, source, planned, view.own, witness)
        return await self._direct(sock, source, planned)

    async def _direct(self, sock: socket.socket, source: Address, planned: Plan) -> Flow | Refusal:
        far = await dial(planned.connect_to, timeout=self._timeout, mark=PACKET_MARK, bind=_bind(source, planned))
        return far if isinstance(far, Refusal) else self._relay.join(sock, far)

    async def _tunnelled(
        self, sock: socket.socket, source: Address, planned: Plan, own: Workload, witness: Witness
    ) -> Flow | Refusal:
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
            return fault.refusal
        except trio.TooSlowError:
            return Refusal(Reason.CONNECT_TIMEOUT, f"{planned.connect_to} did not answer within {_ANSWER_SECONDS:g} s")
        if isinstance(stream, Rejected):
            return stream.refusal
        witness.learn(peer=stream.tunnel.peer, mutual_tls=True)
        return stream.splice(sock)


def _bind(source: Address, planned: Plan) -> IP | None:
    """The pod's own address that its process called from, so that the callee sees the same one."""
    return source.ip if source.ip.version == planned.connect_to.ip.version else None
