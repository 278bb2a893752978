"""HTTP/2 as events: limits, gentle ends, and fields that must not reach HTTP/1.1."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import pytest

from waypoint.http.events import Body, End, Event, Malformed, RequestHead, Reset, ResponseHead
from waypoint.http.http2 import IMPATIENCE, STREAMS, Http2

HEADERS = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/")]
_GOODBYE = h2.events.ConnectionTerminated
GET = RequestHead(b"GET", b"x", b"/", ends=True)


class Pair:
    """A client of the h2 library itself, unchecked, and our server."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.client = h2.connection.H2Connection(config)
        self.client.initiate_connection()
        self.server = Http2(client=False)
        self.exchange()

    def exchange(self) -> tuple[list[tuple[int, Event]], list[h2.events.Event]]:
        """Carry what both have to say; what the server heard, and the client."""
        heard, answered = [], []
        while (up := self.client.data_to_send()) + (down := self.server.take()):
            heard += self.server.receive(up) if up else []
            answered += self.client.receive_data(down) if down else []
        return heard, answered

    def ask(self, headers: list[tuple[bytes, bytes]], *, ends: bool = True) -> tuple[int, Event]:
        """What the server makes of a request."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, headers, end_stream=ends)
        heard, _ = self.exchange()
        return heard[0]


def check_refused(headers: list[tuple[bytes, bytes]], status: int) -> None:
    """Such a request is answered with the status, and the others on the connection go on."""
    pair = Pair()
    first, _ = pair.ask(HEADERS)
    _, event = pair.ask(headers)
    assert isinstance(event, Malformed)
    assert event.status == status
    pair.server.send(first, ResponseHead(200, ends=True))
    _, answered = pair.exchange()
    assert any(isinstance(one, h2.events.ResponseReceived) and one.stream_id == first for one in answered)
    _, event = pair.ask(HEADERS)
    assert isinstance(event, RequestHead)


def ends() -> tuple[Http2, Http2]:
    client, server = Http2(client=True), Http2(client=False)
    carry(client, server)
    return client, server


def carry(client: Http2, server: Http2) -> tuple[list[tuple[int, Event]], list[tuple[int, Event]]]:
    at_server, at_client = [], []
    while (up := client.take()) + (down := server.take()):
        at_server += server.receive(up) if up else []
        at_client += client.receive(down) if down else []
    return at_server, at_client


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ([(b"a", b"b\r\nc: d")], 400),
        ([(b"a", b"b\0c")], 400),
        ([(b"a b", b"c")], 400),
        ([(b"a\r\nb", b"c")], 400),
        ([(b"host", b"other")], 400),
        ([(b"Upper", b"x")], 400),
        ([(b"connection", b"close")], 400),
        ([(b"transfer-encoding", b"chunked")], 400),
        ([(b"te", b"gzip")], 400),
        ([(b":path", b"/")], 400),
        ([(b"a", b"b"), (b":method", b"GET")], 400),
        ([(b":status", b"200")], 400),
        ([(b"content-length", b"1"), (b"content-length", b"1")], 400),
        ([(b"a", b"b" * 70_000)], 431),
        ([(b"a", b"b")] * 300, 431),
    ],
)
def test_fields_that_cannot_be_passed_on_are_refused(extra: list[tuple[bytes, bytes]], status: int) -> None:
    check_refused(HEADERS + extra, status)


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b":method", b"GET / HTTP/1.1\r\nx:", 400),
        (b":path", b"/ HTTP/1.1\r\nx: y", 400),
        (b":path", b"a", 400),
        (b":path", b"/a#b", 400),
        (b":path", b"*", 400),
        (b":authority", b"x y", 400),
        (b":authority", b"u@x", 400),
    ],
)
def test_pseudo_fields_are_checked(name: bytes, value: bytes, status: int) -> None:
    check_refused([(key, value if key == name else old) for key, old in HEADERS], status)


def test_connect_is_not_served() -> None:
    _, event = Pair().ask([(b":method", b"CONNECT"), (b":authority", b"x:1")], ends=False)
    assert event == Malformed(405, "CONNECT is not served inside a tunnel")


def test_crumbs_of_a_cookie_are_joined() -> None:
    _, event = Pair().ask([*HEADERS, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")])
    assert isinstance(event, RequestHead)
    assert event.headers == ((b"x", b"y"), (b"cookie", b"a=1; b=2"))


def test_a_host_field_stands_in_for_the_authority() -> None:
    _, event = Pair().ask([*(pair for pair in HEADERS if pair[0] != b":authority"), (b"host", b"x:80")])
    assert event == RequestHead(b"GET", b"x:80", b"/", ends=True)


def test_an_answer_that_is_complete_ends_the_upload_too() -> None:
    client, server = ends()
    stream = client.begin(RequestHead(b"POST", b"x", b"/"))
    assert stream is not None
    carry(client, server)
    server.send(stream, ResponseHead(413, ends=True))
    _, heard = carry(client, server)
    assert [type(event) for _, event in heard] == [ResponseHead, End, Reset]


def test_a_body_flows_as_far_as_the_window_and_on_when_it_was_taken() -> None:
    client, server = ends()
    stream = client.begin(RequestHead(b"POST", b"x", b"/"))
    assert stream is not None
    sent = 0
    while room := client.room(stream):
        client.send(stream, Body(bytes(min(room, 30_000))))
        sent += min(room, 30_000)
    heard, _ = carry(client, server)
    assert sum(event.cost for _, event in heard if isinstance(event, Body)) == sent
    assert client.room(stream) == 0
    server.credit(stream, sent)
    carry(client, server)
    assert client.room(stream) > 0


def test_a_draining_server_finishes_what_it_has_and_takes_no_more() -> None:
    client, server = ends()
    first = client.begin(GET)
    assert first is not None
    carry(client, server)
    late = client.begin(GET)
    server.drain()
    _, heard = carry(client, server)
    assert [(stream, event.unprocessed) for stream, event in heard if isinstance(event, Reset)] == [(late, True)]
    assert client.begin(GET) is None
    assert not server.over
    server.send(first, ResponseHead(200, ends=True))
    _, heard = carry(client, server)
    assert [event for _, event in heard] == [ResponseHead(200, ends=True), End()]
    assert server.over


def test_what_was_under_way_when_the_server_drained_is_passed_over() -> None:
    client, server = ends()
    first = client.begin(GET)
    assert first is not None
    carry(client, server)
    late = client.begin(RequestHead(b"POST", b"x", b"/"))
    client.send(late, Body(b"content"))
    server.drain()
    carry(client, server)
    assert not server.fault
    server.send(first, ResponseHead(200, ends=True))
    _, heard = carry(client, server)
    assert [event for _, event in heard] == [ResponseHead(200, ends=True), End()]


@pytest.mark.parametrize("body", [b"123", b"12345"])
def test_content_that_is_not_as_long_as_announced_resets_its_stream_alone(body: bytes) -> None:
    client, server = ends()
    good = client.begin(GET)
    bad = client.begin(RequestHead(b"POST", b"x", b"/", ((b"content-length", b"4"),)))
    client.send(bad, Body(body))
    client.send(bad, End())
    heard, answered = carry(client, server)
    assert isinstance([event for stream, event in heard if stream == bad][-1], Reset)
    assert [type(event) for stream, event in answered if stream == bad] == [Reset]
    assert server.room(good)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\0\0\4\6\0\0\0\0\0ping", 6),
        (b"\0\0\4\10\0\0\0\0\0\0\0\0\0", 3),
        (b"\0\0\4\10\0\0\0\0\11\0\0\0\1", 1),
        (b"\0\0\1\0\0\0\0\0\11x", 1),
        (b"\0\0\5\4\0\0\0\0\0\0\3\0\0\0", 6),
        (b"\1\0\1\0\0\0\0\0\1", 6),
        (b"\0\0\1\1\4\0\0\0\2\202", 1),
        (b"\0\0\1\1\4\0\0\0\3\377", 9),
        (b"\0\0\1\1\0\0\0\0\3\202" + b"\0\0\0\6\0\0\0\0\0", 1),
        (b"\0\0\0\11\4\0\0\0\3", 1),
        (b"\0\0\10\6\0\0\0\0\0pingpong" * 2100, 11),
    ],
)
def test_a_breach_of_the_protocol_ends_the_connection_with_its_code(frames: bytes, code: int) -> None:
    pair = Pair()
    assert pair.server.receive(frames) == []
    assert pair.server.over
    assert pair.server.fault
    (goaway,) = (one for one in pair.client.receive_data(pair.server.take()) if isinstance(one, _GOODBYE))
    assert goaway.error_code == code


def test_pings_now_and_then_are_no_flood() -> None:
    pair = Pair()
    for _ in range(5000):
        pair.server.receive(b"\0\0\10\6\0\0\0\0\0pingpong")
        pair.server.take()
    assert not pair.server.over


def test_a_client_begins_no_more_streams_than_it_may() -> None:
    client, _ = ends()
    begun = [client.begin(GET) for _ in range(STREAMS + 1)]
    assert begun[-1] is None
    assert None not in begun[:-1]


def test_the_peers_end_cuts_what_is_in_progress() -> None:
    client, server = ends()
    client.begin(GET)
    carry(client, server)
    assert [type(event) for _, event in client.receive(b"")] == [Reset]
    assert not client.usable


def test_a_caller_that_only_cancels_is_asked_to_calm_down() -> None:
    pair = Pair()
    for _ in range(IMPATIENCE + 1):
        stream = pair.client.get_next_available_stream_id()
        pair.client.send_headers(stream, HEADERS)
        pair.client.reset_stream(stream)
        pair.server.receive(pair.client.data_to_send())
    assert not pair.server.usable
    assert pair.server.over


def test_a_broken_frame_ends_the_connection_with_a_reason() -> None:
    pair = Pair()
    pair.ask(HEADERS)
    ((_, event),) = pair.server.receive(b"\0\0\1\1\0\0\0\0\0\xff")
    assert isinstance(event, Reset)
    assert pair.server.take()
    assert pair.server.over


def test_what_concerns_one_hop_does_not_travel() -> None:
    client, server = ends()
    stream = client.begin(GET)
    assert stream is not None
    carry(client, server)
    server.send(stream, ResponseHead(200, ((b"connection", b"close"), (b"x-a", b"1")), ends=True))
    _, heard = carry(client, server)
    assert [event for _, event in heard] == [ResponseHead(200, ((b"x-a", b"1"),), ends=True), End()]
