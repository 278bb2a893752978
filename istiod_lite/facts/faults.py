"""The `faults` of a TrafficPolicy: what is done to requests so that it can be seen how callers bear it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from istiod_lite.facts.outlierdetection import read_span
from mesh.traffic import Abort, Delay, Faults

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field

_LONGEST: Final = 3600.0
GRPC_CODES: Final = {
    name: code
    for code, name in enumerate(
        (
            "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
            "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
            "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
        ),
        start=1,
    )
}  # fmt: skip
"""gRPC's status codes but OK, by their names."""


def read_faults(at: Field) -> Faults | None:
    """What is done; None if nothing is said."""
    if not at.knows("delay", "abort").given:
        return None
    delay, abort = at["delay"].knows("duration", "percent"), at["abort"].knows("httpStatus", "grpcStatus", "percent")
    if not delay.given and not abort.given:
        at.fault("it does nothing", "add delay or abort")
    return Faults(_read_delay(delay) if delay.given else None, _read_abort(abort) if abort.given else None)


def _read_delay(at: Field) -> Delay:
    at["duration"].required()
    return Delay(read_span(at["duration"], 1.0, _LONGEST), at["percent"].number(100.0, 0, 100))


def _read_abort(at: Field) -> Abort:
    http, grpc = at["httpStatus"], at["grpcStatus"]
    if not http.given and not grpc.given:
        at.fault("it does not say with what", "add httpStatus or grpcStatus, or both")
    return Abort(
        status=http.integer(503, 400, 599) if http.given else None,
        grpc_status=GRPC_CODES[grpc.choice(GRPC_CODES, "UNAVAILABLE")] if grpc.given else None,
        percent=at["percent"].number(100.0, 0, 100),
    )
