"""What callers get from the waypoint itself."""

from __future__ import annotations

import pytest

from waypoint.answer import Answer, is_grpc, message
from waypoint.http.events import RequestHead, value

PLAIN = RequestHead(b"GET", b"echo", b"/")
GRPC = RequestHead(b"POST", b"echo", b"/a/b", ((b"content-type", b"application/grpc+proto"),))


def test_an_http_caller_gets_status_and_text() -> None:
    head, body = message(Answer(403, "RBAC: access denied"), PLAIN)
    assert (head.status, body, head.ends) == (403, b"RBAC: access denied", False)
    assert value(head.headers, b"content-length") == b"19"


def test_a_head_request_gets_no_body() -> None:
    head, body = message(Answer(403, "no"), RequestHead(b"HEAD", b"echo", b"/"))
    assert (body, head.ends) == (b"", True)
    assert value(head.headers, b"content-length") == b"2"


@pytest.mark.parametrize(("status", "code"), [(403, b"7"), (500, b"14"), (503, b"14"), (504, b"4"), (431, b"2")])
def test_a_grpc_caller_gets_a_grpc_status(status: int, code: bytes) -> None:
    head, body = message(Answer(status, "ein Grund: ü%"), GRPC)
    assert (head.status, body, head.ends) == (200, b"", True)
    assert value(head.headers, b"grpc-status") == code
    assert value(head.headers, b"grpc-message") == b"ein Grund: %C3%BC%25"


@pytest.mark.parametrize("status", [404, 302])
def test_no_rule_and_redirects_are_plain_to_everybody(status: int) -> None:
    assert message(Answer(status), GRPC)[0].status == status


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc; charset=x", True),
        (b"application/grpc-web", False),
        (b"text/plain", False),
    ],
)
def test_what_is_grpc(kind: bytes, expected: bool) -> None:
    assert is_grpc(((b"content-type", kind),)) is expected
