"""One request's way through the waypoint: decided, sent on, answered, and recorded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from mesh.refusal import Reason, Refusal
from mesh.workload import AppProtocol
from waypoint import filters
from waypoint.answer import Answer, message
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
from waypoint.http.exchange import Exchange, ExchangeCut, send_whole
from waypoint.outcome import Outcome
from waypoint.plan import Forward
from waypoint.upstream import Asked, Upstream

_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Idempotent methods (RFC 9110, section 9.2.2)."""

Decide = Callable[[RequestHead], Forward | Answer]


@dataclass(slots=True)
class Passage:
    """Carries one exchange. `caller_http2` is what the caller speaks."""

    asked: Exchange
    upstream: Upstream
    decide: Decide
    caller_http2: bool
    identify: Callable[[RequestHead], RequestHead] = lambda head: head
    """Completes a request that has no id."""
    outcome: Outcome = field(default_factory=lambda: Outcome(trio.current_time()))
    _pumped: bool = False
    """Whether content of the request has been taken from the caller: it cannot be sent a second time."""

    async def run(self) -> Outcome:
        """See the exchange through to its end, whatever that is."""
        try:
            await self._run()
        except* ExchangeCut:
            # Only the caller's side raises it: what was to be said to a backend that is gone does not matter.
            self._refused(Reason.CALLER_GONE, "the caller gave the request up")
        return self.outcome

    async def _run(self) -> None:
        head = await self.asked.receive()
        if isinstance(head, Malformed):
            refusal = Refusal(Reason.BAD_REQUEST, head.detail)
            await self._answer(Answer(head.status, refusal=refusal))
        elif isinstance(head, RequestHead):
            self.outcome.request = head = self.identify(head)
            decision = self.decide(head)
            if isinstance(decision, Answer):
                await self._answer(decision)
            else:
                await self._forward(decision)

    async def _answer(self, answer: Answer) -> None:
        outcome = self.outcome
        outcome.answer, outcome.refusal = answer, answer.refusal
        head, body = message(answer, outcome.request)
        self._responded(head)
        outcome.status = answer.status
        await send_whole(self.asked, head, body)
        outcome.sent += len(body)

    async def _forward(self, forward: Forward) -> None:
        self.outcome.forward = forward
        with trio.move_on_after(forward.timeout or math.inf) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_caller, nursery.cancel_scope)
                await self._attempt(forward, nursery)
                nursery.cancel_scope.cancel()
        if limit.cancelled_caught:
            late = Refusal(Reason.REQUEST_TIMEOUT, f"no complete answer within {forward.timeout:g} s")
            await self._fail(Answer(504, "upstream request timeout", refusal=late))

    async def _watch_caller(self, scope: trio.CancelScope) -> None:
        reset = await self.asked.wait_cut()
        self._refused(Reason.CALLER_GONE, reset.detail)
        scope.cancel()

    async def _attempt(self, forward: Forward, nursery: trio.Nursery) -> None:
        """Ask the endpoint; once more where a connection that had served before turns out to be dead."""
        http2 = speaks_http2(forward.endpoint.protocol, self.caller_http2)
        request = replace(forward.request, upgrade=b"") if http2 else forward.request
        for fresh in (False, True):
            asked = await self.upstream.ask(forward.endpoint, request, http2=http2, fresh=fresh)
            if isinstance(asked, Refusal):
                await self._fail(Answer(503, "upstream connect error", refusal=asked))
                return
            with asked.exchange as backend:
                broken = await self._converse(forward, backend, nursery)
            if broken is None:
                return
            if fresh or not self._repeatable(asked, broken, request):
                detail = f"{forward.endpoint.workload.name} at {forward.endpoint.address}: {broken.detail}"
                failed = Refusal(Reason.BACKEND_FAILED, detail)
                await self._fail(Answer(503, "upstream connection failed", refusal=failed))
                return

    def _repeatable(self, asked: Asked, broken: Reset, request: RequestHead) -> bool:
        if self._pumped or self.outcome.status:
            return False
        return broken.unprocessed or (asked.reused and request.method in _REPEATABLE)

    async def _converse(self, forward: Forward, backend: Exchange, outer: trio.Nursery) -> Reset | None:
        """Copy both ways until the response is complete; the reset that came in its place, if one did."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._copy_request, backend, outer.cancel_scope)
            broken = await self._copy_response(forward, backend)
            nursery.cancel_scope.cancel()
        return broken

    async def _copy_request(self, backend: Exchange, given_up: trio.CancelScope) -> None:
        request = self.outcome.request
        if request is not None and request.ends and not self._pumped:
            # The end is known already; leaving it unread keeps the request repeatable.
            await self._send_on(backend, End())
            return
        while True:
            event = await self.asked.receive()
            if isinstance(event, Reset):
                self._refused(Reason.CALLER_GONE, event.detail)
                given_up.cancel()
                return
            self._pumped = True
            if isinstance(event, Body):
                self.outcome.received += len(event.data)
            await self._send_on(backend, event)
            if isinstance(event, End):
                return

    async def _send_on(self, backend: Exchange, event: Event) -> None:
        try:
            await backend.send(event)
        except ExchangeCut:
            # The response's side sees the same and decides what becomes of it.
            await trio.sleep_forever()

    async def _copy_response(self, forward: Forward, backend: Exchange) -> Reset | None:
        while True:
            event = await backend.receive()
            if isinstance(event, Reset):
                return event
            if isinstance(event, ResponseHead):
                headers = filters.on_response(event.headers, forward.response_changes)
                event = replace(event, headers=headers)
                self._responded(event)
            elif isinstance(event, Body):
                self.outcome.sent += len(event.data)
            elif isinstance(event, Trailers):
                self._note_grpc_status(event.headers)
            await self.asked.send(event)
            if isinstance(event, ResponseHead) and event.status == 101:
                return await self._tunnel(backend)
            if isinstance(event, End):
                return None

    async def _tunnel(self, backend: Exchange) -> Reset | None:
        """After status 101: bytes both ways until both sides have ended."""
        if not self._pumped:
            await self.asked.receive()  # the request's own end, unread so far
        broken: Reset | None = None

        async def back() -> None:
            nonlocal broken
            while not isinstance(event := await backend.receive(), End):
                if isinstance(event, Reset):
                    broken = event
                    nursery.cancel_scope.cancel()
                    return
                if isinstance(event, Body):
                    self.outcome.sent += len(event.data)
                await self.asked.send(event)
            await self.asked.send(End())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(back)
            self._pumped = True
            await self._copy_request(backend, nursery.cancel_scope)
        return broken

    async def _fail(self, answer: Answer) -> None:
        """Answer in the backend's place; where its response has begun already, cut it instead."""
        if not self.outcome.status:
            await self._answer(answer)
        else:
            self.outcome.refusal = answer.refusal
            self.asked.reset(INTERNAL_ERROR)

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
