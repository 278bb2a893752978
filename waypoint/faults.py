"""Faults that a TrafficPolicy wants, so that it can be seen how a service's callers bear them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.refusal import Reason, Refusal
from waypoint.answer import Answer, is_grpc

if TYPE_CHECKING:
    from mesh.balance import Dice
    from mesh.traffic import Faults
    from waypoint.http.events import RequestHead


def aborted(faults: Faults, title: str, request: RequestHead, dice: Dice) -> Answer | None:
    """What the request is answered in the backend's place, if chance will have it; `title` is the policy's."""
    abort = faults.abort
    if abort is None:
        return None
    code = abort.grpc_status if is_grpc(request.headers) else None
    if (code is None and abort.status is None) or dice() * 100 >= abort.percent:
        return None
    what = f"gRPC status {code}" if code is not None else f"status {abort.status}"
    refusal = Refusal(Reason.FAULT_INJECTED, f"{title} has it aborted with {what}")
    return Answer(abort.status or 503, "fault injected", refusal=refusal, grpc_status=code)


def delay(faults: Faults, dice: Dice) -> float:
    """Seconds by which the request is held back, if chance will have it; else 0."""
    if faults.delay is None or dice() * 100 >= faults.delay.percent:
        return 0.0
    return faults.delay.seconds
