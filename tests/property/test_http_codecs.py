"""Both codecs say the same, however their bytes are cut; h11 agrees with ours; garbage raises nothing."""

from __future__ import annotations

from collections.abc import Callable

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference_http2 import Http2 as ReferenceHttp2
from waypoint.http.codec import Codec
from waypoint.http.events import Body, End, Event, RequestHead, Reset, ResponseHead, Trailers
from waypoint.http.http1_client import Http1Client
from waypoint.http.http1_server import Http1Server
from waypoint.http.http2 import Http2

_names = st.from_regex(r"x-[a-z0-9]{1,10}", fullmatch=True).map(str.encode)
_texts = st.from_regex(r"([!-~]([ -~]{0,20}[!-~])?)?", fullmatch=True).map(str.encode)
_headers = st.lists(st.tuples(_names, _texts), max_size=5).map(tuple)
_bodies = st.lists(st.binary(min_size=1, max_size=300), max_size=4)
_paths = st.from_regex(r"/[a-zA-Z0-9/_.%?&=~-]{0,30}", fullmatch=True).map(str.encode)
_cuts = st.lists(st.integers(1, 40), min_size=1, max_size=10)

Message = tuple[RequestHead, list[bytes], tuple[tuple[bytes, bytes], ...]]
Pair = tuple[Codec, Codec]

_requests: st.SearchStrategy[Message] = st.tuples(
    st.builds(RequestHead, st.sampled_from([b"GET", b"POST", b"PUT"]), st.just(b"echo:80"), _paths, _headers),
    _bodies,
    _headers,
)
_pairs: st.SearchStrategy[Callable[[], Pair]] = st.sampled_from(
    [
        lambda: (Http1Client(), Http1Server()),
        lambda: (Http2(client=True), Http2(client=False)),
        lambda: (ReferenceHttp2(client=True), Http2(client=False)),
        lambda: (Http2(client=True), ReferenceHttp2(client=False)),
    ]
)


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(data[at : at + size])
        at += size
    return pieces


def _carry(source: Codec, sink: Codec, cuts: list[int]) -> list[tuple[int, Event]]:
    return [event for piece in _cut(source.take(), cuts) for event in sink.receive(piece)]


def _joined(events: list[tuple[int, Event]]) -> list[Event]:
    whole: list[Event] = []
    for _, event in events:
        if isinstance(event, Body) and whole and isinstance(whole[-1], Body):
            whole[-1] = Body(whole[-1].data + event.data)
        else:
            whole.append(Body(event.data) if isinstance(event, Body) else event)
    return whole


def _content(bodies: list[bytes], trailers: tuple[tuple[bytes, bytes], ...]) -> list[Event]:
    joined: list[Event] = [Body(b"".join(bodies))] if bodies else []
    return [*joined, *([Trailers(trailers)] if trailers else []), End()]


@given(_pairs, _requests, _headers, _bodies, _headers, _cuts)
@settings(max_examples=150, deadline=None)
def test_what_is_said_is_what_is_heard(
    make: Callable[[], Pair],
    request: Message,
    headers: tuple[tuple[bytes, bytes], ...],
    bodies: list[bytes],
    trailers: tuple[tuple[bytes, bytes], ...],
    cuts: list[int],
) -> None:
    client, server = make()
    _carry(client, server, [1000])
    _carry(server, client, [1000])
    for turn in range(2):
        head, sent, fields = request
        stream = client.begin(head)
        assert stream is not None, turn
        for event in (*map(Body, sent), *([Trailers(fields)] if fields else []), End()):
            client.send(stream, event)
        heard = _carry(client, server, cuts)
        assert _joined(heard) == [head, *_content(sent, fields)]
        there = heard[0][0]
        answer = ResponseHead(200, headers)
        for event in (answer, *map(Body, bodies), *([Trailers(trailers)] if trailers else []), End()):
            server.send(there, event)
        assert _joined(_carry(server, client, cuts)) == [answer, *_content(bodies, trailers)]


_said = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["body", "end", "take", "credit"])), max_size=40)


@given(_said)
@settings(max_examples=300, deadline=None)
def test_answers_on_several_streams_stay_apart_however_they_are_interleaved(said: list[tuple[int, str]]) -> None:
    client, server = ReferenceHttp2(client=True), Http2(client=False)
    streams = [client.begin(RequestHead(b"POST", b"x", b"/")) for _ in range(4)]
    server.receive(client.take())
    heard: list[tuple[int, Event]] = []
    sent: dict[int, list[Event]] = {stream: [ResponseHead(200)] for stream in streams}
    for stream in streams:
        server.send(stream, ResponseHead(200))
    for number, (which, what) in enumerate([*said, *((which, "end") for which in range(4))]):
        stream = streams[which]
        if what == "take":
            out = server.take()
            heard += client.receive(out) if out else []
        elif what == "credit":
            server.credit(stream, 2_000_000)
        elif sent[stream][-1] != End():
            event = Body(b"%d" % number) if what == "body" else End()
            sent[stream].append(event)
            server.send(stream, event)
    heard += client.receive(server.take())
    for stream in streams:
        own = [(one, event) for one, event in heard if one == stream and not isinstance(event, Reset)]
        assert _joined(own) == _joined([(stream, event) for event in sent[stream]])


@given(_requests, _cuts)
@settings(max_examples=150, deadline=None)
def test_h11_hears_what_our_client_says_and_our_server_what_h11_says(request: Message, cuts: list[int]) -> None:
    head, sent, trailers = request
    ours = Http1Client()
    stream = ours.begin(head)
    assert stream is not None
    for event in (*map(Body, sent), *([Trailers(trailers)] if trailers else []), End()):
        ours.send(stream, event)
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(ours.take())
    seen = theirs.next_event()
    assert isinstance(seen, h11.Request)
    assert (seen.method, seen.target) == (head.method, head.path)
    assert [pair for pair in seen.headers if pair[0].startswith(b"x-")] == list(head.headers)
    body = b""
    while isinstance(part := theirs.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage)
    assert body == b"".join(sent)
    assert tuple(part.headers) == trailers

    caller = h11.Connection(h11.CLIENT)
    text = caller.send(seen) or b""
    for piece in sent:
        text += caller.send(h11.Data(data=piece)) or b""
    text += caller.send(h11.EndOfMessage(headers=list(trailers))) or b""
    server = Http1Server()
    heard = [event for piece in _cut(text, cuts) for event in server.receive(piece)]
    assert _joined(heard) == [head, *_content(sent, trailers)]


@given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
@settings(max_examples=300, deadline=None)
def test_garbage_raises_nothing(pieces: list[bytes], begun: bool) -> None:
    codecs: list[Codec] = [Http1Server(), Http2(client=False), Http1Client(), Http2(client=True)]
    for codec in codecs:
        if begun:
            codec.begin(RequestHead(b"GET", b"x", b"/", ends=True))
        for piece in (*pieces, b""):
            codec.receive(piece)
            codec.take()


_fragments = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /x HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"content-length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"X: y\r\n",
        b"A : b\r\n",
        b"A: \0\r\n",
        b" x\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
    ]
)


def _without_empty_lines(text: bytes) -> bytes:
    """Less those in front of a request, which a server ignores (RFC 9112, section 2.2), and h11 does not."""
    while text.startswith(b"\r\n"):
        text = text[2:]
    return text


@given(st.lists(_fragments, max_size=12).map(b"".join), _cuts)
@settings(max_examples=400, deadline=None)
def test_what_h11_refuses_we_refuse_and_cuts_change_nothing(text: bytes, cuts: list[int]) -> None:
    whole = Http1Server().receive(text)
    server = Http1Server()
    pieces = [event for piece in _cut(text, cuts) for event in server.receive(piece)]
    assert _joined(pieces) == _joined(whole)
    ours = [event for _, event in whole]
    if not any(isinstance(event, End) for event in ours):
        return
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(_without_empty_lines(text))
    body = b""
    seen = theirs.next_event()
    assert isinstance(seen, h11.Request)
    while isinstance(part := theirs.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage)
    assert body == b"".join(event.data for event in ours if isinstance(event, Body))
