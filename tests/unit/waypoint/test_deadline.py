"""`grpc-timeout`: what callers write, and what backends are told."""

from __future__ import annotations

import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from waypoint import deadline
from waypoint.http.events import RequestHead


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"POST", b"echo", b"/shop.Cart/Add", (*fields, (b"te", b"trailers")))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"5S", 5), (b"250m", 0.25), (b"10u", 1e-5), (b"7n", 7e-9), (b"00000001S", 1)],
)
def test_each_unit_is_read(text: bytes, seconds: float) -> None:
    assert deadline.given(head((b"grpc-timeout", text))) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"5", b"S", b"5s", b"-1S", b"1.5S", b"123456789S", b" 5S", b"5S\n"])
def test_what_is_no_timeout_is_passed_on_unread(text: bytes) -> None:
    request = head((b"grpc-timeout", text))
    assert deadline.given(request) is None
    assert deadline.granted(request, 0.5) is request


def test_without_the_field_nothing_is_written() -> None:
    request = head()
    assert deadline.given(request) is None
    assert deadline.granted(request, 1.0) is request


def test_the_caller_is_never_granted_more_than_it_gave() -> None:
    request = head((b"grpc-timeout", b"100m"))
    assert deadline.granted(request, 5.0) is request
    assert deadline.granted(request, 0.1) is request
    assert deadline.granted(request, 0.04).headers == ((b"grpc-timeout", b"40m"), (b"te", b"trailers"))


@any_of(st.integers(0, 99_999_999), st.sampled_from("HMSmun"), st.floats(-1, 1e9))
def test_whatever_is_granted_can_be_read_and_is_not_more_than_was_given(number: int, unit: str, left: float) -> None:
    request = head((b"grpc-timeout", f"{number}{unit}".encode()))
    before, after = deadline.given(request), deadline.given(deadline.granted(request, left))
    assert before is not None
    assert after is not None
    assert after <= before
    assert after <= max(left, 0.0) + 1.001
