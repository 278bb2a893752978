"""HTTP/1.1 as events: what is read, what is refused, when a connection goes on."""

from __future__ import annotations

import pytest

from waypoint.http.events import Body, End, Event, Interim, Malformed, RequestHead, Reset, ResponseHead, Trailers
from waypoint.http.http1_client import Http1Client
from waypoint.http.http1_server import Http1Server

GET = RequestHead(b"GET", b"x", b"/", ends=True)


def heard(text: bytes) -> list[Event]:
    return [event for _, event in Http1Server().receive(text)]


def answered(text: bytes, *, request: RequestHead = GET, closed: bool = False) -> list[Event]:
    client = Http1Client()
    stream = client.begin(request)
    assert stream is not None
    client.send(stream, End())
    events = client.receive(text)
    if closed:
        events += client.receive(b"")
    return [event for _, event in events]


def test_a_request_is_read_without_what_concerns_one_hop() -> None:
    text = (
        b"POST /a?b HTTP/1.1\r\nHost: x:80\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\n"
        b"X-End:  a b \t\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
    )
    assert heard(text) == [
        RequestHead(b"POST", b"x:80", b"/a?b", ((b"x-end", b"a b"), (b"te", b"trailers"))),
        Body(b"abc", 3),
        Trailers(((b"x-t", b"1"),)),
        End(),
    ]


def test_an_absolute_target_names_the_authority() -> None:
    (head, _) = heard(b"GET http://other:81?q HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head == RequestHead(b"GET", b"other:81", b"/?q", ends=True)


def test_an_upgrade_is_noted_but_never_to_http2() -> None:
    text = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
    assert heard(text % b"websocket")[0] == RequestHead(b"GET", b"x", b"/", ends=True, upgrade=b"websocket")
    assert heard(text % b"h2c")[0] == GET


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x@y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 300 + b"\r\n", 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text: bytes, status: int) -> None:
    (event,) = heard(text)
    assert isinstance(event, Malformed)
    assert event.status == status


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"-1\r\n",
        b"0x1\r\na\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b" 1\r\na\r\n",
        b"1;a\0\r\na\r\n",
        b"ffffffffffffffffff\r\n",
        b"1" * 2000,
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
    ],
)
def test_broken_chunks_end_the_request(chunks: bytes) -> None:
    events = heard(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert isinstance(events[-1], Reset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", [Body(b"ab", 2), End()]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", [Body(b"ab", 2), End()]),
        (b"HTTP/1.1 200\r\n\r\nab", [Body(b"ab", 2), End()]),
        (b"HTTP/1.0 200 OK\r\n\r\nab", [Body(b"ab", 2), End()]),
    ],
)
def test_an_answers_body_ends_in_one_of_three_ways(text: bytes, expected: list[Event]) -> None:
    head, *rest = answered(text, closed=True)
    assert isinstance(head, ResponseHead)
    assert rest == expected


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
def test_an_answer_cut_short_is_a_reset(text: bytes) -> None:
    assert isinstance(answered(text, closed=True)[-1], Reset)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_a_reset(text: bytes) -> None:
    (event,) = answered(text)
    assert isinstance(event, Reset)


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body_whatever_they_say(status: int) -> None:
    events = answered(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    assert events[-1] == End()
    assert isinstance(events[0], ResponseHead)
    assert events[0].ends


def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    head = RequestHead(b"HEAD", b"x", b"/", ends=True)
    assert answered(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", request=head) == [
        ResponseHead(200, ((b"content-length", b"5"),), ends=True),
        End(),
    ]


def test_interim_answers_precede_the_final_one() -> None:
    events = answered(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert events[0] == Interim(103, ((b"link", b"x"),))
    assert events[1] == ResponseHead(200, ((b"content-length", b"0"),), ends=True)


def exchanged(request: bytes, answer: ResponseHead, *content: Event) -> tuple[bytes, Http1Server]:
    server = Http1Server()
    stream = server.receive(request)[0][0]
    for event in (answer, *content, End()):
        server.send(stream, event)
    return server.take(), server


@pytest.mark.parametrize(
    ("request_text", "kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", False),
    ],
)
def test_a_connection_is_kept_where_both_can_go_on(request_text: bytes, kept: bool) -> None:
    text, server = exchanged(request_text, ResponseHead(200, ((b"content-length", b"0"),), ends=True))
    assert server.usable is kept
    assert server.over is not kept
    assert (b"connection: close" in text) is (not kept and b"POST" not in request_text)


def test_an_answer_of_unknown_length_is_chunked_and_its_trailers_kept() -> None:
    text, _ = exchanged(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ResponseHead(200), Body(b"abc"), Trailers(((b"x-t", b"1"),))
    )
    assert text == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"


def test_an_old_caller_gets_it_until_the_close() -> None:
    text, server = exchanged(b"GET / HTTP/1.0\r\n\r\n", ResponseHead(200), Body(b"abc"))
    assert text == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    assert server.over


def test_an_answer_shorter_than_announced_is_cut_and_not_ended() -> None:
    _, server = exchanged(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ResponseHead(200, ((b"content-length", b"9"),)), Body(b"abc")
    )
    assert server.aborted


def test_the_next_request_waits_for_the_answer() -> None:
    server = Http1Server()
    both = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
    first = server.receive(both)
    assert [event.path for _, event in first if isinstance(event, RequestHead)] == [b"/1"]
    for event in (ResponseHead(204, ends=True), End()):
        server.send(first[0][0], event)
    second = server.resume()
    assert [event.path for _, event in second if isinstance(event, RequestHead)] == [b"/2"]
    assert second[0][0] != first[0][0]


def test_a_pipeline_is_held_in_bounds() -> None:
    server = Http1Server()
    while server.hungry:
        server.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    assert len(server._buffer) < 300_000


def test_a_body_that_nobody_takes_stops_the_reading() -> None:
    server = Http1Server()
    stream = server.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")[0][0]
    while server.hungry:
        server.receive(bytes(50_000))
    server.credit(stream, 100_000)
    assert server.hungry


def test_a_backend_that_speaks_unasked_is_not_asked_again() -> None:
    client = Http1Client()
    client.receive(b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
    assert client.begin(GET) is None


def test_a_caller_that_closes_has_given_up() -> None:
    server = Http1Server()
    server.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    ((_, event),) = server.receive(b"")
    assert isinstance(event, Reset)


def test_a_request_goes_out_with_the_framing_of_its_own_hop() -> None:
    client = Http1Client()
    stream = client.begin(RequestHead(b"POST", b"x:80", b"/a", ((b"te", b"trailers"),)))
    assert stream is not None
    client.send(stream, Body(b"abc"))
    client.send(stream, End())
    assert client.take() == (
        b"POST /a HTTP/1.1\r\nhost: x:80\r\nte: trailers\r\ntransfer-encoding: chunked\r\nconnection: te\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n"
    )
    empty = Http1Client()
    empty.begin(RequestHead(b"POST", b"x", b"/", ends=True))
    assert b"content-length: 0\r\n" in empty.take()
