"""What an answer says of the endpoint that gave it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh.refusal import Reason
from waypoint.answer import is_grpc
from waypoint.http.events import value

if TYPE_CHECKING:
    from waypoint.http.events import Headers

OURS: Final = frozenset({Reason.OVER_BUDGET, Reason.OVER_PENDING, Reason.POLICY_DENIED, Reason.NO_CERTIFICATE})
"""Why a connection is not made to an endpoint that may be quite well."""
_OF_GRPC: Final = {b"2": 500, b"4": 504, b"8": 429, b"13": 500, b"14": 503, b"15": 500}
"""UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS; others are the caller's affair."""
_DIGITS: Final = 9


def http_status(headers: Headers, status: int, *, ended: bool) -> int | None:
    """The status by which an endpoint is judged; None while gRPC has yet to say how it went, in trailers."""
    if status != 200 or not is_grpc(headers):
        return status
    return grpc_status(headers) if ended else None


def grpc_status(headers: Headers) -> int | None:
    """What a gRPC status, in trailers or in a head without any, would be in HTTP; None where there is none."""
    found = value(headers, b"grpc-status")
    return _OF_GRPC.get(found, 200) if found is not None else None


def retry_after(headers: Headers) -> float | None:
    """The seconds in Retry-After (RFC 9110, section 10.2.3); None without them. A date is not regarded."""
    found = value(headers, b"retry-after")
    return float(found) if found is not None and found.isdigit() and len(found) <= _DIGITS else None
