"""One tunnel stream whose content is none of our business: its bytes go to an endpoint through the relay."""

from __future__ import annotations

import os
import socket

import trio

from mesh.hbone.headers import FORWARDED, Forwarded
from mesh.net.flow import Flow
from mesh.net.tunnel import Stream
from mesh.record import Event
from mesh.refusal import Reason, Refusal
from mesh.sampling import connection, continued
from waypoint.callee import Callee, resolve
from waypoint.endpoint import Endpoint
from waypoint.judgement import OURS
from waypoint.plan import Caller, Question, plan_opaque
from waypoint.report import Arrival, of_connection
from waypoint.scene import Scene
from waypoint.upstream import TunnelHeaders


class Opaque:
    """A connection that lasts until its ends close it, or until the policies no longer allow it."""

    def __init__(self, scene: Scene, arrival: Arrival, callee: Callee, *near: Flow) -> None:
        """`near` is the flow that brings the caller's bytes already, where there is one."""
        self._scene = scene
        self._arrival = arrival
        self._callee = callee
        self._began = trio.current_time()
        self._flows: list[Flow] = list(near)

        self._denied: Refusal | None = None
        self._endpoint: Endpoint | None = None
        sampling, trace = scene.sampling, arrival.trace
        kept = True if trace is not None else None
        self._step = continued(trace, kept, sampling, os.urandom) if sampling is not None else None

    async def open(self) -> Stream | socket.socket | Refusal:
        """Decide, and connect to the endpoint."""
        found = plan_opaque(self._question(self._callee))
        if isinstance(found, Refusal):
            return found
        self._endpoint = found
        host = self._callee.service.hostname if self._callee.service is not None else ""
        forwarded = Forwarded(self._arrival.address, host).encode()
        return await self._connected(found, ((FORWARDED, forwarded), *connection(self._step)))

    async def join(self, near: Stream | socket.socket, far: Stream | socket.socket, first: bytes = b"") -> None:
        """Carry bytes between the caller's side and the endpoint's until both end. `first` was read already.

        The first of the flows is always the one at the caller's tunnel: its counts are the connection's.
        """
        scene = self._scene
        self._record(Event.OPENED)
        if isinstance(near, socket.socket):
            end = self._as_socket(far)
            end.send(first)
            self._flows.append(scene.relay.join(end, near))
        else:
            self._flows.insert(0, near.splice(self._as_socket(far)))
        try:
            async with trio.open_nursery() as nursery:
                for flow in self._flows:
                    nursery.start_soon(self._watch, flow)
        finally:
            if self._endpoint is not None:
                self._left(self._endpoint)
        self._record(Event.CLOSED, self._denied)

    def recheck(self) -> None:
        """The configuration has changed: end the connection if it would not be allowed now."""
        callee = resolve(self._scene.current(), self._scene.here, self._arrival.authority)
        verdict = callee if isinstance(callee, Refusal) else plan_opaque(self._question(callee))
        if isinstance(verdict, Refusal) and verdict.reason is Reason.POLICY_DENIED:
            self._denied = verdict
            for flow in self._flows:
                flow.abort()

    def refused(self, refusal: Refusal) -> None:
        """Record that nothing came of it."""
        self._record(Event.CLOSED, refusal)

    async def _connected(self, endpoint: Endpoint, headers: TunnelHeaders) -> Stream | socket.socket | Refusal:
        """A connection to the endpoint, which knows of it until `join` ends."""
        scene, uid, began = self._scene, endpoint.workload.uid, trio.current_time()
        full = scene.upstream.enter(endpoint)
        if full is not None:
            return full
        scene.health.began(uid)
        made: Stream | socket.socket | Refusal = Refusal(Reason.DRAINING, "the waypoint ends")
        try:
            made = await scene.upstream.connect(endpoint, headers)
        finally:
            now = trio.current_time()
            if not isinstance(made, Refusal):
                scene.health.answered(uid, now - began, now)
            else:
                self._left(endpoint)
                if made.reason not in OURS:
                    scene.health.failed(uid, now)
        return made

    def _left(self, endpoint: Endpoint) -> None:
        self._scene.health.closed(endpoint.workload.uid)
        self._scene.upstream.left(endpoint)

    def _as_socket(self, far: Stream | socket.socket) -> socket.socket:
        """The endpoint's side as a socket; a stream is joined to one end of a pair, by the relay as well."""
        if isinstance(far, socket.socket):
            return far
        ours, flow = as_socket(far)
        self._flows.append(flow)
        return ours

    async def _watch(self, flow: Flow) -> None:
        """When one part breaks, the others must not pass that off as an orderly end."""
        ending = await flow.wait()
        if ending.how != "fin":
            for other in self._flows:
                other.abort()

    def _question(self, callee: Callee) -> Question:
        caller = Caller(self._arrival.identity, self._arrival.address.ip)
        scene = self._scene
        return Question(
            scene.current(),
            scene.here,
            callee,
            caller,
            scene.dice,
            health=scene.health,
            now=trio.current_time,
            balancer=scene.balancer,
        )

    def _record(self, event: Event, refusal: Refusal | None = None) -> None:
        scene, flow = self._scene, self._flows[0] if self._flows else None
        record = of_connection(
            scene.current(),
            scene.here,
            self._arrival,
            self._callee,
            event,
            endpoint=self._endpoint,
            refusal=refusal,
            seconds=trio.current_time() - self._began,
            sent=flow.sent if flow is not None else 0,
            received=flow.received if flow is not None else 0,
            step=self._step,
        )
        scene.report(record)


def as_socket(stream: Stream) -> tuple[socket.socket, Flow]:
    """A tunnel's stream as a socket, whose other end the relay serves, and the flow between the two."""
    ours, relays = socket.socketpair()
    ours.setblocking(False)
    return ours, stream.splice(relays)
