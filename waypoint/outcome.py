"""What has become of a request. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.refusal import Refusal
from mesh.trace import Step
from waypoint.answer import Answer
from waypoint.http.events import RequestHead
from waypoint.plan import Forward


@dataclass(slots=True)
class Outcome:
    """As far as it has come; the record is made of it. Times are those of one clock."""

    began: float
    request: RequestHead | None = None
    forward: Forward | None = None
    answer: Answer | None = None
    status: int = 0
    grpc_status: int | None = None
    received: int = 0
    sent: int = 0
    first_byte: float | None = None
    refusal: Refusal | None = None
    step: Step | None = None
    counted: tuple[str, ...] = ()
    """The policies by which it counts among the requests in progress."""
