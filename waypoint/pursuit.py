"""The attempts to have one request answered, in turn: where each goes, how long it may take, and which is the last."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import trio

from mesh.refusal import Reason, Refusal
from mesh.workload import AppProtocol
from waypoint import deadline
from waypoint.attempt import Attempt
from waypoint.judgement import OURS, grpc_status, http_status, retry_after
from waypoint.retry import Failure, Tried, again

if TYPE_CHECKING:
    from mesh.net.deadlines import Wait
    from waypoint.endpoint import Endpoint
    from waypoint.http.events import ResponseHead, Trailers
    from waypoint.passage import Passage
    from waypoint.plan import Forward
    from waypoint.scene import Scene
    from waypoint.stretch import Stretch

_KEPT: Final = 64 * 1024
"""Bytes of a request's content that are kept for another attempt; when there are more, there is none."""
_UNAVAILABLE: Final = 503
_TIMEOUT: Final = 504


_log = logging.getLogger("waypoint")


class Guide(Protocol):
    """Who knows the endpoints."""

    def another(self, forward: Forward, tried: frozenset[str]) -> Endpoint:
        """The endpoint for one more attempt, after these (by uid)."""


class Pursuit:
    """Of one passage, as its plan says; `content` is what follows the request's head."""

    __slots__ = (
        "_asked_at",
        "_attempt",
        "_caller_http2",
        "_content",
        "_guide",
        "_open",
        "_passage",
        "_repeating",
        "_scene",
        "_seconds",
        "_tried",
        "_until",
        "_wait",
        "_whole",
        "forward",
        "overspent",
    )

    def __init__(
        self, passage: Passage, scene: Scene, guide: Guide, forward: Forward, content: Stretch, *, caller_http2: bool
    ) -> None:
        self._passage = passage
        self._scene = scene
        self._guide = guide
        self._content = content
        self._caller_http2 = caller_http2
        self._asked_at = 0.0
        """Seconds on trio's clock."""
        self._attempt: Attempt | None = None
        self._open = False
        """Whether the endpoint of the newest attempt counts it as one that lives."""
        self._seconds = forward.timeout
        """For the whole: what the route gives, or the caller where that is less."""
        self._tried: frozenset[str] = frozenset()
        self._until: float | None = None
        """When a gRPC caller's time, or the route's, ends, on trio's clock."""
        self._repeating = False
        self._whole: Wait | None = None
        self._wait: Wait | None = None
        """The time of one attempt, or the pause before it."""
        self.overspent: Refusal | None = None
        """Why there was no other attempt, where the service's policy allowed none."""
        self.forward = forward
        """The plan, with the endpoint of the newest attempt."""

    def start(self) -> None:
        """Make the first attempt, at once or after the delay that is wanted."""
        forward = self.forward
        if self._caller_http2:
            self._heed(deadline.given(forward.request))
        if self._seconds is not None:
            self._whole = self._scene.deadlines.after(self._seconds, self._late)
        if forward.retry is not None:
            self._content.keep(_KEPT)
            self._scene.budgets.began(forward.endpoint.key_of_service)
        if forward.delay:
            self._wait = self._scene.deadlines.after(forward.delay, lambda: self._try(1))
        else:
            self._try(1)

    def answered(self, head: ResponseHead) -> None:
        """The head of an attempt's answer has come: its endpoint is there, and this fast."""
        now, endpoint = trio.current_time(), self.forward.endpoint
        self._scene.health.answered(endpoint.workload.uid, now - self._asked_at, now)
        if endpoint.watch is not None:
            status = http_status(head.headers, head.status, ended=head.ends)
            if status is not None:
                self._watched(endpoint, status, retry_after(head.headers))

    def trailed(self, trailers: Trailers) -> None:
        """The answer has ended with these: a gRPC status, where it is gRPC's."""
        endpoint = self.forward.endpoint
        if endpoint.watch is not None and (status := grpc_status(trailers.headers)) is not None:
            self._watched(endpoint, status)

    def unreached(self, attempt: Attempt, refusal: Refusal) -> None:
        """There is no connection to the endpoint of an attempt."""
        if refusal.reason not in OURS:
            self._scene.health.failed(attempt.endpoint.workload.uid, trio.current_time())
            self._watched(attempt.endpoint, _UNAVAILABLE)

    def failed(self, attempt: Attempt, failure: Failure, status: int = 0, *, answered: bool) -> bool:
        """An attempt has failed: whether another one follows. `answered`: the caller has the head of an answer."""
        forward = self.forward
        if not answered:
            self._learn(attempt, failure)
        method, kept = forward.request.method, self._content.repeatable
        tried = Tried(attempt.number, method, failure, status, attempt.reused, kept, answered)
        pause = again(tried, forward.retry, self._scene.dice)
        if pause is None or not self._affordable():
            return False
        attempt.close()
        self._leave()
        self._stop_waiting()
        self._content.leave()
        if pause:
            self._wait = self._scene.deadlines.after(pause, lambda: self._try(attempt.number + 1))
        else:
            self._try(attempt.number + 1)
        return True

    def stop(self) -> None:
        """Give up the attempt that is under way."""
        self._stop_waiting()
        if self._attempt is not None:
            self._attempt.close()

    def end(self) -> None:
        """The request is over, well or badly. To be called once."""
        self.stop()
        self._leave()
        if self._whole is not None:
            self._whole.cancel()
        if self.forward.retry is not None:
            self._scene.budgets.ended(self.forward.endpoint.key_of_service, repeated=self._repeating)

    def _try(self, number: int) -> None:
        forward = self.forward
        if number > 1:
            forward = self.forward = replace(forward, endpoint=self._guide.another(forward, self._tried))
        endpoint, request = forward.endpoint, forward.request
        self._tried |= {endpoint.workload.uid}
        self._asked_at = trio.current_time()
        self._scene.health.began(endpoint.workload.uid)
        self._open = True
        if self._until is not None:
            left = self._until - self._asked_at
            request = deadline.granted(request, min(left, forward.attempt_timeout or left))
        http2 = speaks_http2(endpoint.protocol, self._caller_http2)
        if http2 and request.upgrade:
            request = replace(request, upgrade=b"")
        attempt = self._attempt = Attempt(self._passage, endpoint, request, number)
        if forward.attempt_timeout is not None:
            self._wait = self._scene.deadlines.after(forward.attempt_timeout, self._late_attempt)
        self._passage.attempted(forward)
        self._scene.upstream.ask(endpoint, attempt, http2=http2, fresh=number > 1)

    def _heed(self, given: float | None) -> None:
        """The caller waits so many seconds."""
        if given is not None:
            self._seconds = given if self._seconds is None else min(given, self._seconds)
            self._until = trio.current_time() + self._seconds

    def _affordable(self) -> bool:
        """Whether the service's budget has room for another attempt; what nobody has seen yet costs nothing."""
        if self.forward.retry is None or self._repeating:
            return True
        endpoint = self.forward.endpoint
        policy = endpoint.bounds
        most = policy.terms.retries if policy is not None else None
        self._repeating = self._scene.budgets.spend(endpoint.key_of_service, most)
        if policy is not None and most is not None and not self._repeating:
            why = f"{policy.title}: {most} retries of requests to {policy.service} are in progress"
            self.overspent = Refusal(Reason.OVER_RETRIES, why)
        return self._repeating

    def _learn(self, attempt: Attempt, failure: Failure) -> None:
        """What the failure tells of the endpoint. That a kept connection was closed meanwhile tells nothing."""
        uid, now = attempt.endpoint.workload.uid, trio.current_time()
        match failure:
            case Failure.BROKEN if not attempt.reused:
                self._scene.health.failed(uid, now)
                self._watched(attempt.endpoint, _UNAVAILABLE)
            case Failure.LATE:
                self._scene.health.late(uid, now - self._asked_at, now)
                self._watched(attempt.endpoint, _TIMEOUT)
            case _:
                pass

    def _watched(self, endpoint: Endpoint, status: int, pause: float | None = None) -> None:
        """Where the service's policy says who is an outlier: this was answered, or would be by a gateway."""
        if endpoint.watch is None:
            return
        uid, outliers = endpoint.workload.uid, self._scene.balancer.outliers
        found = outliers.heard(endpoint.watch, uid, status, trio.current_time(), retry_after=pause)
        if found is not None:
            where = f"{endpoint.workload.name} of {endpoint.watch.service}"
            _log.warning("%s is passed over for %.3g s: %s", where, found.seconds, found.why)

    def _leave(self) -> None:
        """The endpoint has this request no longer."""
        if self._open:
            self._open = False
            self._scene.health.closed(self.forward.endpoint.workload.uid)

    def _stop_waiting(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None

    def _late(self) -> None:
        if self._attempt is not None and self._open and self._until is None and not self._passage.outcome.status:
            self._learn(self._attempt, Failure.LATE)
        self._expired(f"no complete answer within {self._seconds:g} s")

    def _late_attempt(self) -> None:
        attempt, forward = self._attempt, self.forward
        answered = bool(self._passage.outcome.status)
        if attempt is None or self.failed(attempt, Failure.LATE, answered=answered):
            return
        self._expired(f"no complete answer of {forward.endpoint.workload.name} within {forward.attempt_timeout:g} s")

    def _expired(self, why: str) -> None:
        self.stop()
        self._passage.expired(Refusal(Reason.REQUEST_TIMEOUT, why))


def speaks_http2(protocol: AppProtocol, caller_http2: bool) -> bool:
    """Which version a backend is asked in: what its port declares; else what the caller speaks."""
    match protocol:
        case AppProtocol.HTTP2 | AppProtocol.GRPC:
            return True
        case AppProtocol.HTTP11:
            return False
        case _:
            return caller_http2
