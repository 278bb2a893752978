"""One request's way through the waypoint: decided, sent on, answered, and recorded. No task: all in plain calls.

    head -> decision -> answered here
                     -> attempt -> link -> request and response stream past each other -> end
                           ^-- again --'

The one who waits is the caller's stream: what it sends meanwhile is kept, as far as its flow control lets it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import trio

from mesh.refusal import Reason, Refusal
from waypoint import filters
from waypoint.advice import Advice, changed_by
from waypoint.answer import Answer, message
from waypoint.attempt import Attempt
from waypoint.consultation import Consultation
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
from waypoint.pursuit import Guide, Pursuit, speaks_http2
from waypoint.retry import Failure
from waypoint.shadow import Shadow
from waypoint.stretch import Stretch

if TYPE_CHECKING:
    from waypoint.http.link import Link
    from waypoint.scene import Scene

_END = End()


class Judge(Guide, Protocol):
    """Who decides about requests."""

    def decide(self, request: RequestHead) -> Forward | Answer:
        """What becomes of a request."""

    def traced(self, request: RequestHead, outcome: Outcome) -> RequestHead:
        """The request as the next hop gets it, which is told of our span where we make one."""

    def done(self, passage: Passage) -> None:
        """It is over; called once."""


class Passage:
    """Carries one exchange of the caller's link (waypoint.http.link.Party)."""

    __slots__ = (
        "_caller",
        "_caller_http2",
        "_consultation",
        "_early",
        "_judge",
        "_over",
        "_pursuit",
        "_request",
        "_response",
        "_scene",
        "_shadows",
        "_stream",
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
        self._pursuit: Pursuit | None = None
        self._shadows: tuple[Shadow, ...] = ()
        self._consultation: Consultation | None = None
        self._early: list[Event] = []
        """What the caller said while an authorizer was asked: mirrors are yet to hear it."""
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

    # ---- the backend's side (waypoint.pursuit.Pursuit, waypoint.attempt.Attempt)

    def attempted(self, forward: Forward) -> None:
        """An attempt begins."""
        self.outcome.forward = forward
        self.asked_all = False

    def expired(self, refusal: Refusal) -> None:
        """The request, or its last attempt, has had its time."""
        self._fail(Answer(504, "upstream request timeout", refusal=refusal))

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
        if self._pursuit is not None:
            self._pursuit.unreached(attempt, refusal)
        # Where too many wait already, waiting once more elsewhere would be no better.
        if refusal.reason is Reason.OVER_PENDING or not self._repeated(attempt, Failure.UNREACHABLE):
            self._fail(Answer(503, "upstream connect error", refusal=refusal))

    def answered(self, attempt: Attempt, event: Event) -> None:
        """The backend says this."""
        if isinstance(event, ResponseHead):
            forward = self.outcome.forward
            if self._pursuit is not None:
                self._pursuit.answered(event)
            if event.status >= 400:
                if self._repeated(attempt, Failure.STATUS, event.status):
                    return
                self.outcome.refusal = self._overspent()
            self._request.settle()
            if forward is not None and forward.response_changes:
                headers = filters.on_response(event.headers, forward.response_changes)
                event = replace(event, headers=headers)
            self._responded(event)
        elif isinstance(event, Trailers):
            self._note_grpc_status(event.headers)
            if self._pursuit is not None:
                self._pursuit.trailed(event)
        self._response.push(event)
        self._finish_if_answered()

    def broken(self, attempt: Attempt, reset: Reset) -> None:
        """The backend has broken off: once more, or not."""
        failure = Failure.UNPROCESSED if reset.unprocessed else Failure.BROKEN
        if self._repeated(attempt, failure):
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
        outcome.request = head = self._judge.traced(self._identified(head), outcome)
        decision = self._judge.decide(head)
        if isinstance(decision, Forward):
            outcome.counted = decision.counted
        if decision.check is None:
            self._go_on(decision)
            return
        about = decision.request if isinstance(decision, Forward) else head
        self._consultation = Consultation(
            self._scene, decision.check, about, lambda advice: self._advised(decision, advice)
        )
        self._consultation.start()

    def _advised(self, decision: Forward | Answer, advice: Advice) -> None:
        """The authorizer has said whether the request may go on."""
        self._consultation = None
        denied = advice.denied
        if denied is not None:
            self._answer(replace(denied, dry_run=decision.dry_run, audit=decision.audit, secret=decision.secret))
            return
        self._go_on(changed_by(decision, advice))
        early, self._early = self._early, []
        for event in early:
            self._cast(event)

    def _go_on(self, decision: Forward | Answer) -> None:
        outcome = self.outcome
        if isinstance(decision, Answer):
            self._answer(decision)
            return
        outcome.forward = decision
        pursuit = self._pursuit = Pursuit(
            self, self._scene, self._judge, decision, self._request, caller_http2=self._caller_http2
        )
        self._shadows = tuple(self._shadow(endpoint, decision.request) for endpoint in decision.mirrors)
        pursuit.start()

    def _shadow(self, endpoint: Endpoint, request: RequestHead) -> Shadow:
        """Have a copy of the request go to a mirror."""
        shadow = Shadow(replace(request, upgrade=b""), self._scene.deadlines)
        http2 = speaks_http2(endpoint.protocol, self._caller_http2)
        self._scene.upstream.ask(endpoint, shadow, http2=http2)
        return shadow

    def _cast(self, event: Event) -> None:
        if self._consultation is not None:
            self._early.append(event)
            return
        for shadow in self._shadows:
            shadow.copy(event)

    def _identified(self, request: RequestHead) -> RequestHead:
        """The request with an id by which its lines are found in every log."""
        if value(request.headers, b"x-request-id") is not None:
            return request
        headers = (*request.headers, (b"x-request-id", self._scene.new_id().encode()))
        return RequestHead(
            request.method, request.authority, request.path, headers, request.scheme, request.ends, request.upgrade
        )

    def _repeated(self, attempt: Attempt, failure: Failure, status: int = 0) -> bool:
        """An attempt has failed: whether another one follows."""
        pursuit = self._pursuit
        return pursuit is not None and pursuit.failed(attempt, failure, status, answered=bool(self.outcome.status))

    def _overspent(self, last: Refusal | None = None) -> Refusal | None:
        """Why there was no attempt after the last one, which ended for this reason; else that reason."""
        found = self._pursuit.overspent if self._pursuit is not None else None
        if found is None or last is None:
            return found or last
        return Refusal(found.reason, f"{found.detail}; the last attempt: {last}")

    def _answer(self, answer: Answer) -> None:
        """Answer in the backend's place."""
        outcome = self.outcome
        outcome.answer, outcome.refusal = answer, self._overspent(answer.refusal)
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
        if self._consultation is not None:
            self._consultation.close()
        if self._pursuit is not None:
            self._pursuit.end()
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
