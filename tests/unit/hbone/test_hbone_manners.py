"""What a peer may not do, and what it gets for it (RFC 9113, sections 5 to 7 and 10.5)."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from mesh.hbone import fields, frames, literals
from mesh.hbone.fields import Connect
from mesh.hbone.frames import ErrorCode, Setting
from mesh.hbone.limits import Limits
from mesh.hbone.stream import StreamState
from tests.hbone_ends import End, pair, pump

CONNECT = fields.encode_connect("10.0.0.1:80", [])
GREETING = frames.PREFACE + frames.settings({})


def headers(stream_id: int, block: bytes = CONNECT) -> bytes:
    return frames.headers(stream_id, block, end_stream=False, max_frame=16_384)


def data(stream_id: int, payload: bytes, flags: int = 0) -> bytes:
    return frames.frame(frames.DATA, flags, stream_id, payload)


def ping() -> bytes:
    return frames.frame(frames.PING, 0, 0, bytes(8))


def server_after(*sent: bytes, greeting: bytes = GREETING) -> End:
    server = End(client=False)
    server.receive(greeting + b"".join(sent))
    return server


PROTOCOL, SIZE, FLOW = ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR, ErrorCode.FLOW_CONTROL_ERROR
CALM, CLOSED, COMPRESSION = ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.STREAM_CLOSED, ErrorCode.COMPRESSION_ERROR
GREETED = GREETING + headers(1)


VIOLATIONS: dict[str, tuple[bytes, int]] = {
    "no preface": (b"GET / HTTP/1.1\r\n\r\n", PROTOCOL),
    "first frame not SETTINGS": (frames.PREFACE + ping(), PROTOCOL),
    "frame above 1 MiB": (GREETING + b"\x10\0\x01\0\0\0\0\0\x01", SIZE),
    "control frame above the header limit": (GREETING + b"\x02\0\0\x01\x04\0\0\0\x01", CALM),
    "SETTINGS on a stream": (GREETING + frames.frame(frames.SETTINGS, 0, 1), PROTOCOL),
    "SETTINGS cut short": (GREETING + frames.frame(frames.SETTINGS, 0, 0, b"12345"), SIZE),
    "SETTINGS ACK with a payload": (GREETING + frames.frame(frames.SETTINGS, 1, 0, bytes(6)), SIZE),
    "initial window too large": (GREETING + frames.settings({Setting.INITIAL_WINDOW_SIZE: 1 << 31}), FLOW),
    "largest frame too small": (GREETING + frames.settings({Setting.MAX_FRAME_SIZE: 100}), PROTOCOL),
    "ENABLE_PUSH 2": (GREETING + frames.settings({Setting.ENABLE_PUSH: 2}), PROTOCOL),
    "PING of 7": (GREETING + frames.frame(frames.PING, 0, 0, bytes(7)), SIZE),
    "PING on a stream": (GREETING + frames.frame(frames.PING, 0, 1, bytes(8)), SIZE),
    "GOAWAY too short": (GREETING + frames.frame(frames.GOAWAY, 0, 0, bytes(7)), SIZE),
    "PUSH_PROMISE": (GREETING + frames.frame(frames.PUSH_PROMISE, 4, 1, bytes(8)), PROTOCOL),
    "PRIORITY of 4": (GREETING + frames.frame(frames.PRIORITY, 0, 1, bytes(4)), SIZE),
    "HEADERS on an even stream": (GREETING + headers(2), PROTOCOL),
    "HEADERS on stream 0": (GREETING + headers(0), PROTOCOL),
    "HEADERS padded too far": (GREETING + frames.frame(frames.HEADERS, 12, 1, b"\x05abc"), PROTOCOL),
    "HEADERS shorter than its priority": (GREETING + frames.frame(frames.HEADERS, 36, 1, b"abc"), SIZE),
    "HEADERS that is no block": (GREETING + headers(1, b"\x80"), COMPRESSION),
    "CONTINUATION of nothing": (GREETING + frames.frame(frames.CONTINUATION, 4, 1), PROTOCOL),
    "block interrupted by DATA": (GREETING + frames.frame(frames.HEADERS, 0, 1) + data(1, b"x"), PROTOCOL),
    "block continued on another stream": (
        GREETING + frames.frame(frames.HEADERS, 0, 1, CONNECT) + frames.frame(frames.CONTINUATION, 4, 3),
        PROTOCOL,
    ),
    "DATA on an idle stream": (GREETING + data(1, b"x"), PROTOCOL),
    "DATA on stream 0": (GREETING + data(0, b"x"), PROTOCOL),
    "DATA padded too far": (GREETED + data(1, b"\x05abc", frames.PADDED), PROTOCOL),
    "DATA padded but empty": (GREETED + data(1, b"", frames.PADDED), PROTOCOL),
    "DATA behind END_STREAM": (GREETED + data(1, b"", 1) + data(1, b"x"), CLOSED),
    "RST_STREAM on an idle stream": (GREETING + frames.rst_stream(1, 8), PROTOCOL),
    "RST_STREAM of 3": (GREETED + frames.frame(frames.RST_STREAM, 0, 1, bytes(3)), SIZE),
    "WINDOW_UPDATE on an idle stream": (GREETING + frames.window_update(1, 1), PROTOCOL),
    "WINDOW_UPDATE of 3": (GREETING + frames.frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    "WINDOW_UPDATE by nothing": (GREETING + frames.window_update(0, 0), FLOW),
    "connection window overflow": (GREETING + frames.window_update(0, 0x7FFF_FFFF), FLOW),
    "header list above 64 KiB": (
        GREETING + headers(1, fields.encode_connect("a:1", [(b"x", b"a" * 65_536)])),
        CALM,
    ),
    "header block above 96 KiB": (
        GREETING + headers(1, bytes(100_000)),
        CALM,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_the_connection_with_its_code(name: str) -> None:
    sent, code = VIOLATIONS[name]
    server = server_after(sent, greeting=b"")
    assert server.violation is not None
    assert server.last_goaway == server.violation.code == code


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_byte_by_byte_is_the_same(name: str) -> None:
    sent, code = VIOLATIONS[name]
    server = End(client=False)
    for byte in sent:
        server.receive(bytes((byte,)))
    assert server.violation is not None
    assert server.violation.code == code


FLOODS: dict[str, tuple[Callable[[int], bytes], int]] = {
    "PING": (lambda _: ping(), CALM),
    "SETTINGS": (lambda _: frames.settings({}), CALM),
    "rapid reset": (lambda n: headers(2 * n + 1) + frames.rst_stream(2 * n + 1, 8), CALM),
    "streams above the limit": (lambda n: headers(2 * n + 1), CALM),
    "malformed requests": (lambda n: headers(2 * n + 1, b"\x00\x01A\x01b"), PROTOCOL),
    "requests that are no CONNECT": (lambda n: headers(2 * n + 1, b"\x82\x87\x84\x01\x01a"), CALM),
    "PRIORITY": (lambda _: frames.frame(frames.PRIORITY, 0, 1, bytes(5)), CALM),
    "unknown frames": (lambda _: frames.frame(77, 0, 0), CALM),
    "empty DATA": (lambda n: (b"" if n else headers(1)) + data(1, b""), CALM),
    "empty CONTINUATION": (
        lambda n: frames.frame(frames.CONTINUATION if n else frames.HEADERS, 0, 1),
        CALM,
    ),
    "large blocks in CONTINUATIONs": (
        lambda n: frames.frame(frames.CONTINUATION if n else frames.HEADERS, 0, 1, bytes(1000)),
        CALM,
    ),
    "MadeYouReset, by a window of nothing": (
        lambda n: headers(2 * n + 1) + frames.window_update(2 * n + 1, 0),
        CALM,
    ),
    "MadeYouReset, by a window too large": (
        lambda n: headers(2 * n + 1) + frames.window_update(2 * n + 1, 0x7FFF_FFFF),
        CALM,
    ),
    "MadeYouReset, by a second head": (lambda n: headers(2 * n + 1) * 2, CALM),
    "GOAWAY": (lambda _: frames.goaway(0, ErrorCode.NO_ERROR), CALM),
    "DATA on streams that are over": (
        lambda n: (b"" if n else headers(1) + frames.rst_stream(1, 8)) + data(1, b"x"),
        CLOSED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection_within_bounds(name: str) -> None:
    """Its requests are never accepted: that takes time in which a flood goes on."""
    make, code = FLOODS[name]
    server = End(client=False, accepts=False)
    server.receive(GREETING)
    for count in range(3 * server.connection.limits.chores):
        server.receive(make(count))
        server.output()
        if server.violation is not None:
            break
    assert server.violation is not None
    assert server.violation.code == code
    assert count <= server.connection.limits.chores + server.connection.limits.streams


class Refusing(End):
    """A server that answers every request at once, with no."""

    def requested(self, stream: StreamState, connect: Connect) -> None:
        super().requested(stream, connect)
        self.connection.refuse(stream, 503)


def test_requests_that_wait_for_nothing_are_a_flood_however_fast_they_are_answered() -> None:
    server = Refusing(client=False, accepts=False)
    server.receive(GREETING + b"".join(headers(2 * n + 1) for n in range(3 * server.connection.limits.chores)))
    assert server.violation is not None
    assert server.violation.code == CALM
    assert len(server.requests) == server.connection.limits.streams


def test_requests_that_wait_for_their_answers_go_on_for_ever_refused_or_not() -> None:
    server = Refusing(client=False, accepts=False)
    server.receive(GREETING)
    for n in range(3 * server.connection.limits.chores):
        server.receive(headers(2 * n + 1))
        server.output()
    assert server.violation is None


def test_windows_opened_by_a_byte_are_a_flood() -> None:
    server = server_after(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}), headers(1))
    server.sinks[1].send(bytes(100_000))
    for count in range(3 * server.connection.limits.chores):  # noqa: B007 -- how far it came is the result
        server.receive(frames.window_update(1, 1))
        server.output()
        if server.violation is not None:
            break
    assert server.violation is not None
    assert server.violation.code == CALM
    assert count <= server.connection.limits.chores
    assert len(server.sinks[1].outgoing) >= 100_000 - server.connection.limits.chores


def test_who_reads_little_by_little_opens_a_wide_window_by_a_byte_at_will() -> None:
    server = server_after(headers(1))
    for _ in range(3 * server.connection.limits.chores):
        server.sinks[1].send(b"x")
        server.receive(frames.window_update(1, 1) + frames.window_update(0, 1))
        server.output()
    assert server.violation is None


def test_a_window_that_is_never_opened_holds_nothing_back_but_its_own_stream() -> None:
    server = server_after(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}), headers(1), headers(3))
    server.sinks[1].send(bytes(1_000_000))
    server.receive(frames.window_update(3, 10))
    server.sinks[3].send(b"ten of them")
    assert len(server.sinks[1].outgoing) == 1_000_000, "what is not taken stays with its source"
    assert server.sinks[3].outgoing == b"m"
    assert server.connection.space > 500_000


def test_a_tick_forgives() -> None:
    server = server_after()
    for _ in range(3 * server.connection.limits.chores):
        server.receive(ping())
        server.connection.tick()
        server.output()
    assert server.violation is None


def test_a_client_that_waits_for_each_answer_and_then_resets_is_no_flood() -> None:
    client, server = pair()
    for _ in range(3 * server.connection.limits.chores):
        stream = client.open().stream
        pump(client, server)
        stream.reset()
        pump(client, server)
    assert server.violation is None
    assert not server.connection.streams


def test_a_client_that_waits_for_no_answer_is_a_flood_though_each_would_be_accepted_at_once() -> None:
    client, server = pair()
    for count in range(3 * server.connection.limits.chores):  # noqa: B007 -- how far it came is the result
        client.open().stream.reset()
        pump(client, server)
        if server.violation is not None:
            break
    assert server.violation is not None
    assert server.violation.code == CALM
    assert count <= server.connection.limits.chores + 1


def test_a_peer_that_makes_us_write_and_does_not_read_is_given_up() -> None:
    server = End(client=False, limits=Limits(chores=10**9))
    server.receive(GREETING)
    while server.violation is None:
        server.receive(ping() * 100)
    assert server.violation.code == ErrorCode.ENHANCE_YOUR_CALM


def test_a_stream_that_exceeds_its_window_is_reset_and_the_others_live() -> None:
    limits = Limits(stream_window=1_000)
    server = End(client=False, limits=limits, passes_on=False)
    server.receive(GREETING + headers(1) + headers(3) + data(1, bytes(1_001)) + data(3, bytes(1_000)))
    assert server.violation is None
    assert server.sinks[1].log == ["reset: FLOW_CONTROL_ERROR"]
    assert len(server.sinks[3].kept) == 1_000


def test_a_connection_that_exceeds_its_window_is_ended() -> None:
    limits = Limits(stream_window=200_000, connection_window=100_000)
    server = End(client=False, limits=limits, passes_on=False)
    server.receive(GREETING + headers(1) + data(1, bytes(100_001)))
    assert server.violation is not None
    assert server.violation.code == ErrorCode.FLOW_CONTROL_ERROR


def test_streams_above_the_limit_are_refused_one_by_one() -> None:
    client, server = pair(limits=Limits(streams=2))
    client.connection._peer.streams = 100
    sinks = [client.open() for _ in range(3)]
    pump(client, server)
    assert [sink.log for sink in sinks] == [[], [], ["reset: REFUSED_STREAM"]]


def test_bytes_that_nobody_took_do_not_stay_owed_to_a_reset_stream() -> None:
    """Else the connection's window would leak away with every stream that dies with a backlog."""
    limits = Limits(stream_window=1_000_000, connection_window=1_000_000)
    client, server = pair(limits=limits, passes_on=False)
    for _ in range(20):
        sink = client.open()
        sink.send(bytes(900_000))
        pump(client, server)
        assert not sink.outgoing
        server.sinks[sink.stream.id].stream.reset()
        pump(client, server)
    assert client.violation is server.violation is None


def test_late_frames_to_a_stream_that_we_reset_are_passed_over() -> None:
    server = server_after(headers(1))
    server.sinks[1].stream.reset()
    for _ in range(3 * server.connection.limits.chores):
        server.receive(data(1, b"still under way"))
    server.receive(frames.window_update(1, 5) + frames.rst_stream(1, 8))
    assert server.violation is None


def test_a_connected_stream_carries_data_only() -> None:
    server = server_after(headers(1), headers(1))
    assert server.violation is None
    assert server.sinks[1].log == ["reset: PROTOCOL_ERROR"]


def test_a_peer_with_a_small_header_table_is_told_that_ours_is_empty() -> None:
    server = server_after(frames.settings({Setting.HEADER_TABLE_SIZE: 100}), headers(1), headers(3))
    blocks = server.output()
    assert b"\x20\x88" in blocks
    assert blocks.count(b"\x20\x88") == 1


def test_a_silent_peer_is_dead_after_more_than_two_periods() -> None:
    client, server = pair()
    assert [client.connection.tick() for _ in range(4)] == [True, True, True, False]
    pump(client, server)
    assert client.connection.tick()


def test_a_smaller_initial_window_may_make_credit_negative() -> None:
    client, server = pair(passes_on=False)
    sink = client.open()
    sink.send(bytes(100_000))
    pump(client, server)
    client.receive(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}))
    assert sink.stream.credit == -100_000
    sink.send(b"more")
    assert sink.outgoing == b"more"
    client.receive(frames.window_update(1, 100_004))
    assert sink.outgoing == b""


def test_partial_padding_is_skipped_and_credited() -> None:
    server = server_after(headers(1))
    padded = data(1, bytes((200,)) + b"payload" + bytes(200), frames.PADDED | frames.END_STREAM)
    for at in range(0, len(padded), 7):
        server.receive(padded[at : at + 7])
    assert bytes(server.sinks[1].kept) == b"payload"
    assert server.sinks[1].log == ["ended"]


def test_a_frame_that_says_more_than_it_brings_waits() -> None:
    server = server_after(headers(1), struct.pack(">IBI", 100 << 8, 0, 1), b"half")
    assert bytes(server.sinks[1].kept) == b"half"
    assert server.sinks[1].log == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([(b":method", b"GET"), (b":authority", b"a:1")], "the method is not CONNECT"),
        ([(b":method", b"CONNECT"), (b":authority", b"a:1"), (b"Upper", b"x")], "b'Upper' may not stand"),
    ],
)
def test_the_owner_hears_of_a_request_that_is_none(asked: list[tuple[bytes, bytes]], said: str) -> None:
    server = server_after(headers(1, literals.encode(asked)))
    assert said in server.log[-1]


@pytest.mark.parametrize(
    ("sent", "torn"), [(b"", False), (ping()[:5], True), (headers(1) + data(1, b"whole")[:-1], True)]
)
def test_an_end_in_the_middle_of_a_frame_is_a_fault(sent: bytes, torn: bool) -> None:
    server = End(client=False)
    server.receive(GREETING + sent)
    server.connection.cut("the peer closed", torn=bool(server._tail))
    assert server.violation is not None
    assert server.violation.ours is torn
    assert ("in the middle of a frame" in server.violation.detail) is torn
