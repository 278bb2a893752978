"""One connection of a caller that carries HTTP: each request on it is decided, sent on and recorded by itself.

The caller's path is normalised; `x-request-id` is made where it is missing; `traceparent` travels on untouched unless
we make spans, of which it then tells. Nothing
is added to `x-forwarded-for`: in an ambient mesh callers are known by identity, and peers add nothing here either.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import trio

from mesh.record import Event, Party
from mesh.refusal import Reason, Refusal
from mesh.sampling import entered
from waypoint import sniff
from waypoint.answer import Answer
from waypoint.callee import resolve
from waypoint.endpoint import Endpoint
from waypoint.http.events import RequestHead
from waypoint.http.http1_server import Http1Server
from waypoint.http.http2 import Http2
from waypoint.http.link import Link
from waypoint.passage import Passage
from waypoint.plan import Caller, Forward, Question, another, plan, still_allowed
from waypoint.regime import Regime
from waypoint.report import Arrival, of_connection, of_request, source_of
from waypoint.sniff import Sniffed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.net.carrier import Carrier
    from mesh.snapshot import Snapshot
    from waypoint.callee import Callee
    from waypoint.outcome import Outcome
    from waypoint.scene import Scene

_IDLE_SECONDS: Final = 3600.0


class Conversation:
    """The caller's connection and the requests in progress on it.

    Its first bytes come here (mesh.net.carrier.Terminal); once they tell the version they go to a link, whose owner
    this is (waypoint.http.link.Owner).
    """

    def __init__(self, scene: Scene, arrival: Arrival, carrier: Carrier, gone: Callable[[Conversation], None]) -> None:
        self._scene = scene
        self._arrival = arrival
        self._carrier = carrier
        self._gone = gone
        self._first = b""
        self._link: Link | None = None
        self._http2 = False
        self._draining = False
        self._passages: dict[Passage, Callee | Refusal] = {}
        self._snapshot: Snapshot | None = None
        self._question: Question | Refusal = Refusal(Reason.UNKNOWN_DESTINATION, "nothing is known yet")
        self._regime: Regime | None = None
        self._source = Party(arrival.address, None, arrival.identity)
        self._idle_since = trio.current_time()
        self._untraced = True
        """No request has come yet that may continue the connection's own trace."""

    def start(self, first: bytes = b"") -> None:
        """Begin; `first` was read already."""
        if first:
            self.data(memoryview(first))
        if self._link is None:
            self._carrier.start(self)

    def drain(self) -> None:
        """Finish the requests in progress and take no more."""
        self._draining = True
        if self._link is not None:
            self._link.drain()

    def recheck(self) -> None:
        """The configuration has changed: end the pipes that would not be allowed now. Requests go on to their end."""
        for passage in [one for one in self._passages if one.upgraded]:
            question, request = self._asked(), passage.outcome.request
            if isinstance(question, Refusal):
                passage.refuse(question)
            elif request is not None:
                refusal = still_allowed(question, request)
                if refusal is not None:
                    passage.refuse(refusal)

    def sweep(self, now: float) -> None:
        """End it in order if it has been idle for long."""
        if self._passages:
            self._idle_since = now
        elif now - self._idle_since >= _IDLE_SECONDS:
            if self._link is not None:
                self._link.drain()
            else:
                self._carrier.close()
                self._gone(self)

    # ---- mesh.net.carrier.Terminal, until the version is known

    def data(self, view: memoryview) -> None:
        """The first bytes."""
        self._first += view
        self._found(sniff.version(self._first))

    def ended(self) -> None:
        """There are no more than these."""
        self._found(Sniffed.HTTP1 if self._first else Sniffed.UNDECIDED)
        if self._link is not None:
            self._link.ended()
        else:
            self._carrier.close()
            self._gone(self)

    def lost(self, detail: str) -> None:  # noqa: ARG002  nothing was asked, so there is nobody to be told
        """The caller has gone."""
        self._gone(self)

    def drained(self) -> None:
        """Nothing is written yet."""

    def _found(self, found: Sniffed) -> None:
        if found is Sniffed.UNDECIDED:
            return
        scene = self._scene
        self._http2 = found is Sniffed.HTTP2
        codec = Http2(client=False) if self._http2 else Http1Server()
        link = self._link = Link(scene.relay, scene.deadlines, self._carrier, codec, self)
        link.start()
        first, self._first = self._first, b""
        link.data(memoryview(first))
        if self._draining:
            link.drain()

    # ---- waypoint.http.link.Owner

    def begun(self, link: Link, stream: int) -> Passage:
        """A request."""
        question = self._asked()
        passage = Passage(self._scene, link, stream, self, caller_http2=self._http2)
        self._passages[passage] = question if isinstance(question, Refusal) else question.callee
        return passage

    def freed(self, link: Link) -> None:
        """Requests come from the caller alone."""

    def over(self, link: Link) -> None:
        """The connection has ended."""
        if link.fault:
            self._told(Refusal(Reason.HTTP2_FAILED, f"in the tunnel to {self._arrival.authority} {link.fault}"))
        self._gone(self)

    # ---- waypoint.passage.Judge

    def decide(self, request: RequestHead) -> Forward | Answer:
        """What becomes of a request, under the configuration in force now."""
        question = self._asked()
        if isinstance(question, Refusal):
            return Answer(503, "no such service here", refusal=question)
        decision, regime = plan(question, request), self._regime
        if regime is None or isinstance(decision, Answer):
            return decision  # what no backend is asked for counts for nothing
        scene, caller = self._scene, self._arrival.identity
        return regime.admit(request, decision, scene.limits, dice=scene.dice, caller=caller, now=trio.current_time())

    def traced(self, request: RequestHead, outcome: Outcome) -> RequestHead:
        """The request, which tells of our span where we make one."""
        sampling = self._scene.sampling
        if sampling is None:
            return request
        first, self._untraced = self._untraced, False
        carrier = self._arrival.trace
        outcome.step, headers = entered(request.headers, sampling, random.randbytes, carrier=carrier, first=first)
        return RequestHead(
            request.method, request.authority, request.path, headers, request.scheme, request.ends, request.upgrade
        )

    def another(self, forward: Forward, tried: frozenset[str]) -> Endpoint:
        """The endpoint for one more attempt."""
        question = self._asked()
        return forward.endpoint if isinstance(question, Refusal) else another(question, forward, tried)

    def done(self, passage: Passage) -> None:
        """A request is over: record it."""
        scene = self._scene
        callee = self._passages.pop(passage)
        outcome, now = passage.outcome, trio.current_time()
        if outcome.counted:
            scene.limits.leave(outcome.counted)
        self._idle_since = now
        scene.report(of_request(self._source, callee, outcome, now=now))

    # ----

    def _asked(self) -> Question | Refusal:
        """The question that every request here asks, under the configuration in force now."""
        scene, arrival = self._scene, self._arrival
        snapshot = scene.current()
        if snapshot is not self._snapshot:
            callee = resolve(snapshot, scene.here, arrival.authority)
            caller = Caller(arrival.identity, arrival.address.ip)
            self._snapshot = snapshot
            self._source = source_of(snapshot, scene.here, arrival)
            if isinstance(callee, Refusal):
                self._question, self._regime = callee, None
            else:
                service, told = callee.service, snapshot.traffic
                self._regime = Regime(told, service.key) if told and service is not None else None
                self._question = Question(
                    snapshot,
                    scene.here,
                    callee,
                    caller,
                    scene.dice,
                    health=scene.health,
                    now=trio.current_time,
                    balancer=scene.balancer,
                    wall=scene.wall,
                )
        return self._question

    def _told(self, refusal: Refusal) -> None:
        """A fault that belongs to no request."""
        scene, arrival = self._scene, self._arrival
        callee = resolve(scene.current(), scene.here, arrival.authority)
        scene.report(of_connection(scene.current(), scene.here, arrival, callee, Event.CLOSED, refusal=refusal))
