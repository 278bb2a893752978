"""Floods against a running mesh (docs/floods.md): who floods is told GOAWAY with the right code, and nobody else
notices. Good requests, straight to web and through the waypoint to catalog, go on all the time.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from mesh.hbone import frames
from mesh.hbone.frames import Setting
from mesh.net.tunnel_stream import TunnelStream
from tests.bad_input_scene import STRANGER, Mesh, Target, connected, tunnel
from tests.stranger_for_tests import Rough, name
from waypoint.http.hpack import encode

pytestmark = pytest.mark.netns

ENOUGH = 6_000
"""Frames, or pairs of them: more than any bound allows between two ticks."""
AT_ONCE = 200

Flood = Callable[[bytes, int], bytes]
"""The n-th piece of it, given the header block of a good request."""


def head(block: bytes, number: int) -> bytes:
    return frames.headers(2 * number + 1, block, end_stream=False, max_frame=frames.SMALLEST_MAX_FRAME)


def begun_by(first: Flood, more: Flood) -> Flood:
    return lambda block, n: more(block, n) if n else first(block, n)


COMMON: dict[str, Flood] = {
    "PING": lambda _, n: frames.frame(frames.PING, 0, 0, b"12345678"),
    "SETTINGS": lambda _, n: frames.settings({}),
    "CONTINUATION": begun_by(
        lambda block, n: frames.frame(frames.HEADERS, 0, 1, block),
        lambda _, n: frames.frame(frames.CONTINUATION, 0, 1),
    ),
    "empty DATA": begun_by(head, lambda _, n: frames.frame(frames.DATA, 0, 1)),
    "rapid reset": lambda block, n: head(block, n) + frames.rst_stream(2 * n + 1, 8),
    "MadeYouReset": lambda block, n: head(block, n) + frames.window_update(2 * n + 1, 0),
}


@pytest.mark.parametrize("flood", COMMON)
def test_a_flood_in_a_tunnel_ends_its_own_connection(target: Target, rough: Rough, flood: str) -> None:
    block = encode(((b":method", b"CONNECT"), (b":authority", target.authority.encode())))
    for first in range(0, ENOUGH, AT_ONCE):
        try:
            rough.send(*(COMMON[flood](block, number) for number in range(first, first + AT_ONCE)))
        except OSError:
            break
    assert rough.farewell().startswith("ENHANCE_YOUR_CALM: a flood of ")
    target.log.line(f"src.addr={name(rough.sock)}", f'"{STRANGER}"', 'reason="http2-failed"', "a flood of ")


def test_data_on_a_stream_that_is_over_ends_its_own_connection(target: Target, rough: Rough) -> None:
    rough.ask(1, target.authority)
    rough.send(frames.rst_stream(1, 8))
    for _ in range(0, ENOUGH, AT_ONCE):
        try:
            rough.send(frames.frame(frames.DATA, 0, 1, b"x") * AT_ONCE)
        except OSError:
            break
    assert rough.farewell() == "STREAM_CLOSED: a flood of DATA on streams that are over"


def test_windows_that_never_open_hold_up_nobody(target: Target, rough: Rough) -> None:
    """A hundred streams, without a window to answer in; the good requests are the test."""
    rough.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}))
    for number in range(100):
        rough.ask(2 * number + 1, target.authority)
        assert rough.answer(2 * number + 1)
        rough.send(frames.frame(frames.DATA, 0, 2 * number + 1, b"GET / HTTP/1.1\r\nHost: catalog\r\n\r\n"))
    rough.send(frames.frame(frames.PING, 0, 0, b"12345678"))
    assert any(kind == frames.PING and payload == b"12345678" for kind, _, payload in rough.frames())


# ---- in HTTP/2 inside a good tunnel to the waypoint

GET = encode(((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"catalog"), (b":path", b"/")))
NOTHING = "a flood of frames that carry nothing"
CANCELLED = "too many requests are cancelled"


@pytest.mark.parametrize("flood", COMMON)
async def test_a_flood_of_requests_ends_its_own_conversation(mesh: Mesh, waypoint: Target, flood: str) -> None:
    async with tunnel(mesh, waypoint) as to_waypoint:
        bad, good = [await connected(to_waypoint, waypoint.authority) for _ in range(2)]
        heard = bytearray()
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_all, bad, heard)
                await send_all(bad, COMMON[flood])
        assert farewell(heard) == "ENHANCE_YOUR_CALM"
        said = CANCELLED if flood in {"rapid reset", "MadeYouReset"} else NOTHING
        waypoint.log.line(f"src.addr={to_waypoint.local}", f'"{STRANGER}"', said)
        await good.send_all(b"GET / HTTP/1.1\r\nHost: catalog\r\n\r\n")
        assert (await good.receive_some(65536)).startswith(b"HTTP/1.1 200 "), "another stream of the tunnel goes on"


async def send_all(bad: TunnelStream, flood: Flood) -> None:
    try:
        await bad.send_all(frames.PREFACE + frames.settings({}))
        for first in range(0, ENOUGH, AT_ONCE):
            await bad.send_all(b"".join(flood(GET, number) for number in range(first, first + AT_ONCE)))
    except trio.BrokenResourceError:
        return


async def read_all(bad: TunnelStream, heard: bytearray) -> None:
    try:
        while data := await bad.receive_some(65536):
            heard += data
    except trio.BrokenResourceError:
        return


def farewell(heard: bytes) -> str:
    """The code of the GOAWAY that was said last."""
    at, code = 0, 0
    while at + frames.HEAD_SIZE <= len(heard):
        word, _, _ = frames.HEAD.unpack_from(heard, at)
        payload = bytes(heard[at + frames.HEAD_SIZE : at + frames.HEAD_SIZE + (word >> 8)])
        if word & 0xFF == frames.GOAWAY:
            code = frames.read_goaway(memoryview(payload))[1]
        at += frames.HEAD_SIZE + len(payload)
    return frames.code_name(code)
