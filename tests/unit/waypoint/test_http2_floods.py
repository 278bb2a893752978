"""Floods against the waypoint's HTTP/2 (docs/floods.md): each is ended with the right code, after a bounded work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.hbone import frames
from mesh.hbone.frames import ErrorCode, Setting
from waypoint.http.events import Body, Event, RequestHead, ResponseHead
from waypoint.http.hpack import encode
from waypoint.http.http2 import IMPATIENCE, STREAMS, Http2

GET = encode(((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/")))
GREETING = frames.PREFACE + frames.settings({})
RECORD = 16_384
"""As much as one TLS record brings at a time."""
BOUND = 3_000
"""Frames of a flood that are dealt with at most."""


def asked(number: int, *, ends: bool = False) -> bytes:
    return frames.headers(2 * number + 1, GET, end_stream=ends, max_frame=RECORD)


def data(stream: int, payload: bytes = b"") -> bytes:
    return frames.frame(frames.DATA, 0, stream, payload)


def server_after(*sent: bytes) -> Http2:
    server = Http2(client=False)
    server.receive(GREETING + b"".join(sent))
    server.take()
    return server


def farewell(server: Http2) -> int:
    """The code of the GOAWAY that was said last."""
    out = server.take()
    at = code = 0
    while at < len(out):
        word, _, _ = frames.HEAD.unpack_from(out, at)
        payload = out[at + frames.HEAD_SIZE : at + frames.HEAD_SIZE + (word >> 8)]
        if word & 0xFF == frames.GOAWAY:
            code = frames.read_goaway(memoryview(payload))[1]
        at += frames.HEAD_SIZE + len(payload)
    return code


FLOODS: dict[str, Callable[[int], bytes]] = {
    "PING": lambda _: frames.frame(frames.PING, 0, 0, bytes(8)),
    "SETTINGS": lambda _: frames.settings({}),
    "rapid reset": lambda n: asked(n) + frames.rst_stream(2 * n + 1, 8),
    "MadeYouReset, by a window of nothing": lambda n: asked(n) + frames.window_update(2 * n + 1, 0),
    "MadeYouReset, by a window too large": lambda n: asked(n) + frames.window_update(2 * n + 1, 0x7FFF_FFFF),
    "MadeYouReset, by a second head": lambda n: asked(n) * 2,
    "streams above the limit": asked,
    "RST_STREAM on streams that are over": lambda n: (b"" if n else asked(0)) + frames.rst_stream(1, 8),
    "PRIORITY": lambda _: frames.frame(frames.PRIORITY, 0, 1, bytes(5)),
    "unknown frames": lambda _: frames.frame(77, 0, 0),
    "empty DATA": lambda n: (b"" if n else asked(0)) + data(1),
    "empty CONTINUATION": lambda n: frames.frame(frames.CONTINUATION if n else frames.HEADERS, 0, 1),
    "large blocks in CONTINUATIONs": lambda n: frames.frame(
        frames.CONTINUATION if n else frames.HEADERS, 0, 1, bytes(1000)
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_at_the_waypoint_is_ended_within_bounds(name: str) -> None:
    make = FLOODS[name]
    server = server_after()
    told: list[tuple[int, Event]] = []
    count = 0
    while not server.over:
        record = b""
        while len(record) < RECORD:
            record += make(count)
            count += 1
        told += server.receive(record)
        assert count < BOUND + RECORD
    assert farewell(server) == ErrorCode.ENHANCE_YOUR_CALM
    assert server.fault
    begun = [stream for stream, event in told if isinstance(event, RequestHead)]
    assert len(begun) <= IMPATIENCE + STREAMS + 1, "no request begins behind the GOAWAY"


def test_windows_opened_by_a_byte_are_a_flood_at_the_waypoint() -> None:
    server = server_after(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}), asked(0))
    server.send(1, ResponseHead(200))
    said = 0
    while not server.over:
        server.receive(frames.window_update(1, 1) * 100)
        for _ in range(server.room(1)):
            server.send(1, Body(b"x"))
            said += 1
        assert said < 10_000
    assert farewell(server) == ErrorCode.ENHANCE_YOUR_CALM


def test_who_opens_a_wide_window_by_a_byte_at_a_time_is_no_flood_at_the_waypoint() -> None:
    server = server_after(asked(0))
    server.send(1, ResponseHead(200))
    for _ in range(50):
        for _ in range(100):
            server.send(1, Body(b"x"))
        server.receive((frames.window_update(1, 1) + frames.window_update(0, 1)) * 100)
        server.take()
    assert not server.over


def test_a_window_that_is_never_opened_leaves_the_other_streams_theirs() -> None:
    server = server_after(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}), asked(0), asked(1))
    server.receive(frames.window_update(3, 10_000))
    assert (server.room(1), server.room(3)) == (0, 10_000)


def test_a_caller_that_cancels_what_was_answered_already_is_no_flood() -> None:
    server = server_after()
    for number in range(3 * IMPATIENCE):
        server.receive(asked(number, ends=True))
        server.send(2 * number + 1, ResponseHead(200))
        server.receive(frames.rst_stream(2 * number + 1, 8))
        server.take()
    assert not server.over


def test_data_on_a_stream_that_is_over_is_dropped_and_its_window_given_back() -> None:
    server = server_after(asked(0), frames.rst_stream(1, 8), asked(1))
    for _ in range(1000):
        assert server.receive(data(1, bytes(RECORD))) == []
        out = server.take()
        assert len(out) <= 13, "at most a WINDOW_UPDATE for the connection"
    assert not server.over
    assert server.room(3)
