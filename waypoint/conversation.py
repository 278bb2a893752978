"""One tunnel stream that carries HTTP: each request on it is decided, sent on and recorded by itself.

The caller's path is normalised; `x-request-id` is made where it is missing; `traceparent` travels on untouched. Nothing
is added to `x-forwarded-for`: in an ambient mesh callers are known by identity, and peers add nothing here either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import trio

from mesh.record import Event
from mesh.refusal import Reason, Refusal
from waypoint.answer import Answer
from waypoint.callee import resolve
from waypoint.http.events import INTERNAL_ERROR, RequestHead, value
from waypoint.http.exchange import Exchange
from waypoint.http.http1_server import Http1Server
from waypoint.http.http2 import Http2
from waypoint.http.link import Link
from waypoint.passage import Passage
from waypoint.plan import Caller, Forward, Question, plan
from waypoint.report import Arrival, of_connection, of_request
from waypoint.scene import Scene

_IDLE_SECONDS: Final = 3600.0

_log = logging.getLogger("waypoint")


class Conversation:
    """The caller's connection and the requests in progress on it."""

    def __init__(
        self,
        scene: Scene,
        arrival: Arrival,
        transport: trio.abc.HalfCloseableStream,
        cut: Callable[[], None],
        *,
        http2: bool,
    ) -> None:
        self._scene = scene
        self._arrival = arrival
        self._http2 = http2
        codec = Http2(client=False) if http2 else Http1Server()
        self._link = Link(transport, codec, cut, idle_seconds=_IDLE_SECONDS)

    async def run(self) -> None:
        """Serve it to its end."""
        async with trio.open_nursery() as nursery:
            await self._link.run(lambda exchange: nursery.start_soon(self._serve, exchange))
        if self._link.fault:
            self._told(Refusal(Reason.HTTP2_FAILED, f"in the tunnel to {self._arrival.authority} {self._link.fault}"))

    def drain(self) -> None:
        """Finish the requests in progress and take no more."""
        self._link.drain()

    def _told(self, refusal: Refusal) -> None:
        """A fault that belongs to no request."""
        scene, arrival = self._scene, self._arrival
        callee = resolve(scene.current(), scene.here, arrival.authority)
        scene.report(of_connection(scene.current(), scene.here, arrival, callee, Event.CLOSED, refusal=refusal))

    async def _serve(self, exchange: Exchange) -> None:
        try:
            with exchange:
                await self._pass(exchange)
        except Exception:  # noqa: BLE001  a fault of ours in one request is that request's; the others go on
            _log.exception("failed to carry a request of %s to %s", self._arrival.identity, self._arrival.authority)
            exchange.reset(INTERNAL_ERROR)

    async def _pass(self, exchange: Exchange) -> None:
        scene, arrival = self._scene, self._arrival
        snapshot = scene.current()
        callee = resolve(snapshot, scene.here, arrival.authority)

        def decide(request: RequestHead) -> Forward | Answer:
            if isinstance(callee, Refusal):
                return Answer(503, "no such service here", refusal=callee)
            caller = Caller(arrival.identity, arrival.address.ip)
            question = Question(snapshot, scene.here, callee, caller, scene.dice)
            return plan(question, request)

        passage = Passage(exchange, scene.upstream, decide, caller_http2=self._http2, identify=self._identified)
        outcome = await passage.run()
        scene.report(of_request(snapshot, scene.here, arrival, callee, outcome, now=trio.current_time()))

    def _identified(self, request: RequestHead) -> RequestHead:
        """The request with an id by which its lines are found in every log."""
        if value(request.headers, b"x-request-id") is not None:
            return request
        return replace(request, headers=(*request.headers, (b"x-request-id", self._scene.new_id().encode())))
