"""One request's way through the waypoint: decided, sent on, answered, and recorded. No task: all in plain calls.

    head -> decision -> answered here
                     -> attempt -> link -> request and response stream past each other -> end
                           ^-- again --'

The one who waits is the caller's stream: what it sends meanwhile is kept, as far as its flow control lets it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import trio

from mesh.refusal import Reason, Refusal
from mesh.workload import AppProtocol
from waypoint import filters
from waypoint.answer import Answer, message
from waypoint.attempt import Attempt
from waypoint.endpoint import Endpoint
from waypoint.http.events import (
    INTERNAL_ERROR,
    Body,
    End,
    Event,
    Malformed,
    RequestHead,
    Reset,
    ResponseHead,
    Trailers,
    value,
)
from waypoint.outcome import Outcome
from waypoint.plan import Forward
from waypoint.retry import Failure, Tried, again
from waypoint.shadow import Shadow
from waypoint.stretch import Stretch

if TYPE_CHECKING:
    from mesh.net.deadlines import Wait
    from waypoint.http.link import Link
    from waypoint.scene import Scene

_END = End()
_KEPT: Final = 64 * 1024
"""Bytes of a request's content that are kept for another attempt; when there are more, there is none."""


class Judge(Protocol):
    """Who decides about requests."""

    def decide(self, request: RequestHead) -> Forward | Answer:
        """What becomes of a request."""

    def another(self, forward: Forward, tried: frozenset[str]) -> Endpoint:
        """The endpoint for one more attempt, after these (by uid)."""

    def done(self, passage: Passage) -> None:
        """It is over; called once."""


class Passage:
    """Carries one exchange of the caller's link (waypoint.http.link.Party)."""

    __slots__ = (
        "_attempt",
        "_caller",
        "_caller_http2",
        "_judge",
        "_over",
        "_pause",
        "_repeating",
        "_request",
        "_response",
        "_scene",
        "_shadows",
        "_stream",
        "_timer",
        "_tried",
        "asked_all",
        "outcome",
    )

    def __init__(self, scene: Scene, caller: Link, stream: int, judge: Judge, *, caller_http2: bool) -> None:
        self._scene = scene
        self._caller = caller
        self._stream = stream
        self._judge = judge
        self._caller_http2 = caller_http2
        self._request = Stretch()
        self._request.begin(caller, stream)
        self._response = Stretch()
        self._response.reach(caller, stream)
        self._attempt: Attempt | None = None
        self._timer: Wait | None = None
        self._pause: Wait | None = None
        """The time of one attempt, or the pause before it."""
        self._tried: frozenset[str] = frozenset()
        self._repeating = False
        self._shadows: tuple[Shadow, ...] = ()
        self._over = False
        self.asked_all = False
        """The whole request has gone out to the backend."""
        self.outcome = Outcome(trio.current_time())

    @property
    def upgraded(self) -> bool:
        """Whether it has become a pipe of another protocol."""
        return self.outcome.status == 101

    def refuse(self, refusal: Refusal) -> None:
        """What was allowed is so no longer: end it at once."""
        self.outcome.refusal = self.outcome.refusal or refusal
        self._cut()

    # ---- the caller's side (waypoint.http.link.Party)

    def heard(self, event: Event) -> None:
        """The caller says this."""
        if self._over:
            return
        if isinstance(event, RequestHead):
            self._asked(event)
        elif isinstance(event, Malformed):
            self._answer(Answer(event.status, refusal=Refusal(Reason.BAD_REQUEST, event.detail)))
        elif isinstance(event, Reset):
            self._refused(Reason.CALLER_GONE, event.detail)
            self._cast(event)
            self._finish()
        elif isinstance(event, End) and not self.upgraded and self._bodiless:
            pass  # said along with the head
        else:
            self._cast(event)
            self._request.push(event)
            self._note_request()

    def may_speak(self) -> None:
        """The caller takes more of the answer."""
        self._response.pump()
        self._finish_if_answered()

    # ---- the backend's side (waypoint.attempt.Attempt)

    def reached(self, link: Link, stream: int) -> None:
        """The head is under way: send what there is of the content."""
        if self._bodiless:
            link.say(stream, _END)
            self.asked_all = True
        self._response.begin(link, stream)
        self._request.reach(link, stream)
        self._note_request()

    def unreachable(self, attempt: Attempt, refusal: Refusal) -> None:
        """There is no connection to the endpoint."""
        if not self._repeated(attempt, Failure.UNREACHABLE):
            self._fail(Answer(503, "upstream connect error", refusal=refusal))

    def answered(self, attempt: Attempt, event: Event) -> None:
        """The backend says this."""
        if isinstance(event, ResponseHead):
            forward = self.outcome.forward
            if event.status >= 400 and self._repeated(attempt, Failure.STATUS, event.status):
                return
            self._request.settle()
            if forward is not None and forward.response_changes:
                headers = filters.on_response(event.headers, forward.response_changes)
                event = replace(event, headers=headers)
            self._responded(event)
        elif isinstance(event, Trailers):
            self._note_grpc_status(event.headers)
        self._response.push(event)
        self._finish_if_answered()

    def broken(self, attempt: Attempt, reset: Reset) -> None:
        """The backend has broken off: once more, or not."""
        forward = self.outcome.forward
        failure = Failure.UNPROCESSED if reset.unprocessed else Failure.BROKEN
        if forward is None or self._repeated(attempt, failure):
            return
        where = f"{attempt.endpoint.workload.name} at {attempt.endpoint.address}"
        refusal = Refusal(Reason.BACKEND_FAILED, f"{where}: {reset.detail}")
        self._fail(Answer(503, "upstream connection failed", refusal=refusal))

    def send_on(self) -> None:
        """The backend takes more of the request."""
        self._request.pump()
        self._note_request()

    def unpaid(self) -> int:
        """What the backend's link is owed for what the caller never took."""
        return self._response.unpaid()

    # ----

    @property
    def _bodiless(self) -> bool:
        return self.outcome.request is not None and self.outcome.request.ends

    def _asked(self, head: RequestHead) -> None:
        outcome = self.outcome
        outcome.request = head = self._identified(head)
        decision = self._judge.decide(head)
        if isinstance(decision, Answer):
            self._answer(decision)
            return
        outcome.forward = decision
        if decision.timeout is not None:
            self._timer = self._scene.deadlines.after(decision.timeout, self._late)
        if decision.retry is not None:
            self._request.keep(_KEPT)
            self._scene.budgets.began(decision.endpoint.key_of_service)
        self._shadows = tuple(self._shadow(endpoint, decision.request) for endpoint in decision.mirrors)
        self._try(decision, 1)

    def _shadow(self, endpoint: Endpoint, request: RequestHead) -> Shadow:
        """Have a copy of the request go to a mirror."""
        shadow = Shadow(replace(request, upgrade=b""), self._scene.deadlines)
        http2 = speaks_http2(endpoint.protocol, self._caller_http2)
        self._scene.upstream.ask(endpoint, shadow, http2=http2)
        return shadow

    def _cast(self, event: Event) -> None:
        for shadow in self._shadows:
            shadow.copy(event)

    def _identified(self, request: RequestHead) -> RequestHead:
        """The request with an id by which its lines are found in every log."""
        if value(request.headers, b"x-request-id") is not None:
            return request
        return replace(request, headers=(*request.headers, (b"x-request-id", self._scene.new_id().encode())))

    def _try(self, forward: Forward, number: int) -> None:
        endpoint = forward.endpoint if number == 1 else self._judge.another(forward, self._tried)
        if endpoint is not forward.endpoint:
            forward = self.outcome.forward = replace(forward, endpoint=endpoint)
        self._tried |= {endpoint.workload.uid}
        http2 = speaks_http2(endpoint.protocol, self._caller_http2)
        request = replace(forward.request, upgrade=b"") if http2 and forward.request.upgrade else forward.request
        self.asked_all = False
        attempt = self._attempt = Attempt(self, endpoint, request, number)
        if forward.attempt_timeout is not None:
            self._pause = self._scene.deadlines.after(forward.attempt_timeout, self._late_attempt)
        self._scene.upstream.ask(endpoint, attempt, http2=http2, fresh=number > 1)

    def _repeated(self, attempt: Attempt, failure: Failure, status: int = 0) -> bool:
        """An attempt has failed: whether another one follows."""
        forward, request = self.outcome.forward, self.outcome.request
        if forward is None or request is None:
            return False
        kept, answered = self._request.repeatable, bool(self.outcome.status)
        tried = Tried(attempt.number, request.method, failure, status, attempt.reused, kept, answered)
        pause = again(tried, forward.retry, self._scene.dice)
        if pause is None or not self._afford(forward):
            return False
        attempt.close()
        self._stop_pause()
        self._request.leave()
        if pause:
            self._pause = self._scene.deadlines.after(pause, lambda: self._try(forward, attempt.number + 1))
        else:
            self._try(forward, attempt.number + 1)
        return True

    def _afford(self, forward: Forward) -> bool:
        """Whether the service's budget has room for another attempt; what nobody has seen yet costs nothing."""
        if forward.retry is None or self._repeating:
            return True
        self._repeating = self._scene.budgets.spend(forward.endpoint.key_of_service)
        return self._repeating

    def _stop_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _answer(self, answer: Answer) -> None:
        """Answer in the backend's place."""
        outcome = self.outcome
        outcome.answer, outcome.refusal = answer, answer.refusal
        head, body = message(answer, outcome.request)
        self._responded(head)
        outcome.status = answer.status
        self._response.push(head)
        if body:
            self._response.push(Body(body))
        self._response.push(_END)
        self._finish_if_answered()

    def _fail(self, answer: Answer) -> None:
        """Answer in the backend's place; where its response has begun already, cut it instead."""
        if not self.outcome.status:
            self._answer(answer)
        else:
            self.outcome.refusal = self.outcome.refusal or answer.refusal
            self._cut()

    def _late(self) -> None:
        timeout = self.outcome.forward.timeout if self.outcome.forward is not None else 0.0
        self._expired(f"no complete answer within {timeout:g} s")

    def _late_attempt(self) -> None:
        forward, attempt = self.outcome.forward, self._attempt
        if forward is None or attempt is None or self._repeated(attempt, Failure.LATE):
            return
        self._expired(f"no answer of {attempt.endpoint.workload.name} within {forward.attempt_timeout:g} s")

    def _expired(self, why: str) -> None:
        self._stop_pause()
        if self._attempt is not None:
            self._attempt.close()
        self._fail(Answer(504, "upstream request timeout", refusal=Refusal(Reason.REQUEST_TIMEOUT, why)))

    def _cut(self) -> None:
        if not self._over:
            self._caller.say(self._stream, Reset(INTERNAL_ERROR, "given up here"))
            self._finish()

    def _finish_if_answered(self) -> None:
        if self._response.ended and not self._over and (self._request.ended or not self.upgraded):
            self._finish()

    def _finish(self) -> None:
        """It is over, well or badly."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._stop_pause()
        if self._attempt is not None:
            self._attempt.close()
        forward = self.outcome.forward
        if forward is not None and forward.retry is not None:
            self._scene.budgets.ended(forward.endpoint.key_of_service, repeated=self._repeating)
        self.outcome.received = self._request.carried
        self.outcome.sent = self._response.carried
        self._caller.leave(self._stream, self._request.unpaid())
        self._judge.done(self)

    def _note_request(self) -> None:
        if self._request.ended:
            self.asked_all = True
            if self.upgraded:
                self._finish_if_answered()

    def _responded(self, head: ResponseHead) -> None:
        self.outcome.status = head.status
        self.outcome.first_byte = trio.current_time()
        self._note_grpc_status(head.headers)

    def _note_grpc_status(self, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        code = value(headers, b"grpc-status")
        if code is not None and code.isdigit() and len(code) < 4:
            self.outcome.grpc_status = int(code)

    def _refused(self, reason: Reason, detail: str) -> None:
        self.outcome.refusal = self.outcome.refusal or Refusal(reason, detail)


def speaks_http2(protocol: AppProtocol, caller_http2: bool) -> bool:
    """Which version the backend is asked in: what its port declares; else what the caller speaks."""
    match protocol:
        case AppProtocol.HTTP2 | AppProtocol.GRPC:
            return True
        case AppProtocol.HTTP11:
            return False
        case _:
            return caller_http2
