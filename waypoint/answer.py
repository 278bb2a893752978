"""What the waypoint answers itself, in the backend's place. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from mesh.refusal import Refusal
from mesh.route import Choice
from waypoint.check import Check
from waypoint.http.events import Headers, RequestHead, ResponseHead, value

_GRPC_STATUS: Final = {400: 13, 401: 16, 403: 7, 404: 12, 408: 4, 429: 8, 500: 14, 502: 14, 503: 14, 504: 4}
"""gRPC status codes. 500 stands for a backend that nobody can reach, which Gateway API wants as UNAVAILABLE."""
_UNKNOWN: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with a short text, and why: `refusal` is None for what is no failure (a redirect)."""

    status: int
    text: str = ""
    headers: Headers = ()
    refusal: Refusal | None = None
    choice: Choice | None = None
    policy: str = ""
    dry_run: str = ""
    audit: str = ""
    grpc_status: int | None = None
    """What a gRPC caller is told; None: what the status means in gRPC."""
    check: Check | None = None
    """As in waypoint.plan.Forward."""
    secret: frozenset[bytes] = frozenset()
    """As in waypoint.plan.Forward."""


def is_grpc(headers: Headers) -> bool:
    """Whether a message is gRPC's (its content type says so)."""
    kind = value(headers, b"content-type") or b""
    return kind.partition(b";")[0].partition(b"+")[0].strip() == b"application/grpc"


def message(answer: Answer, request: RequestHead | None) -> tuple[ResponseHead, bytes]:
    """The answer as it is sent. To a gRPC caller a failure is a status in fields, with HTTP status 200.

    A request that no rule matches stays a plain 404, which gRPC callers take for UNIMPLEMENTED.
    """
    if request is not None and is_grpc(request.headers) and answer.status >= 400 and answer.status != 404:
        code = answer.grpc_status
        if code is None:
            code = _GRPC_STATUS.get(answer.status, _UNKNOWN)
        text = answer.text or (answer.refusal.reason.value if answer.refusal is not None else "")
        fields = (
            (b"content-type", b"application/grpc"),
            (b"grpc-status", b"%d" % code),
            (b"grpc-message", quote(text, safe=" !\"#$&'()*+,/:;<=>?@[]^`{|}~").encode()),
        )
        return ResponseHead(200, (*answer.headers, *fields), ends=True), b""
    body = answer.text.encode()
    if answer.status == HTTPStatus.NO_CONTENT:  # which may not state a length (RFC 9110, section 8.6)
        return ResponseHead(answer.status, answer.headers, ends=True), b""
    headers = (*answer.headers, (b"content-length", b"%d" % len(body)))
    if body and value(headers, b"content-type") is None:
        headers = (*headers, (b"content-type", b"text/plain; charset=utf-8"))
    if request is not None and request.method == b"HEAD":
        body = b""
    return ResponseHead(answer.status, headers, ends=not body), body
