"""The time that a gRPC caller gives its call: the field `grpc-timeout` of gRPC over HTTP/2, read and written. Pure.

A backend that knows when nobody waits any more can stop its work; so it is told what is left of the caller's time, of
the route's, and of the attempt's, whichever is the least. What is no `grpc-timeout` is passed on unread.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil
from typing import Final

from waypoint.http.events import RequestHead

_FIELD: Final = b"grpc-timeout"
_FORM: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MOST: Final = 10**8
"""One more than eight digits can say."""


def given(request: RequestHead) -> float | None:
    """Seconds that the caller gives; None when it says nothing, or nothing that can be read."""
    for name, text in request.headers:
        if name == _FIELD:
            found = _FORM.fullmatch(text)
            return int(found[1]) * _SECONDS[found[2]] if found is not None else None
    return None


def granted(request: RequestHead, seconds: float) -> RequestHead:
    """The request with these seconds in place of the caller's, where they are fewer by a millisecond at least."""
    before, left = given(request), max(0.0, seconds)
    if before is None or before - left < 0.001:
        return request
    text = _written(left)
    headers = tuple((name, text if name == _FIELD else old) for name, old in request.headers)
    return replace(request, headers=headers)


def _written(seconds: float) -> bytes:
    milliseconds = max(1, ceil(seconds * 1000))
    return b"%dm" % milliseconds if milliseconds < _MOST else b"%dS" % min(_MOST - 1, ceil(seconds))
