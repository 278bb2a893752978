"""The waypoint's readers of HTTP. What they understand must not depend on how the bytes were cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import hpack

from waypoint.http.codec import Codec
from waypoint.http.events import Body, Event, RequestHead
from waypoint.http.hpack import Decoder, TooLong, Unreadable
from waypoint.http.http1_client import Http1Client
from waypoint.http.http1_server import Http1Server
from waypoint.http.http2 import Http2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


def http1_server(data: bytes) -> None:
    """Requests. A head that was taken, printed by us and read again, is the same: nobody can be smuggled past it."""
    for event in _read(Http1Server, b"", data):
        if isinstance(event, RequestHead) and not event.upgrade:
            client = Http1Client()
            assert client.begin(event) is not None
            [first, *_] = [again for _, again in Http1Server().receive(client.take())]
            assert _said(first) == _said(event)


def _said(event: Event) -> object:
    """A head less its length, which we print for a body of nothing too."""
    if not isinstance(event, RequestHead):
        return event
    return replace(event, headers=tuple(pair for pair in event.headers if pair[0] != b"content-length"))


def http1_client(data: bytes) -> None:
    """Answers to a request without a body."""
    _read(_asked(Http1Client), b"", data)


def http2_server(data: bytes) -> None:
    """Requests, behind a preface."""
    _read(lambda: Http2(client=False), PREFACE + NO_SETTINGS, data)


def http2_client(data: bytes) -> None:
    """Answers to a request on stream 1."""
    _read(_asked(lambda: Http2(client=True)), NO_SETTINGS, data)


def hpack_block(data: bytes) -> None:
    """A header block: what we read of it the library reads as well."""
    try:
        fields = Decoder(1 << 20).decode(data).fields
    except (Unreadable, TooLong):
        return
    theirs = hpack.Decoder(max_header_list_size=1 << 20)
    theirs.max_allowed_table_size = 4096
    assert [(bytes(name), bytes(text)) for name, text in theirs.decode(data, raw=True)] == fields


def _asked(make: Callable[[], Codec]) -> Callable[[], Codec]:
    def made() -> Codec:
        codec = make()
        codec.begin(RequestHead(b"GET", b"echo", b"/", ends=True))
        codec.take()
        return codec

    return made


def _read(make: Callable[[], Codec], greeting: bytes, data: bytes) -> list[Event]:
    """The events of the bytes in one piece, which are those of the same bytes in pieces as their first byte says."""
    size = data[0] + 1 if data else 1
    rest = data[1:]
    whole, cut = make(), make()
    heard = [event for data in (greeting, rest) if data for event in whole.receive(data)]
    pieces = cut.receive(greeting) if greeting else []
    for at in range(0, len(rest), size):
        pieces += cut.receive(rest[at : at + size])
    assert _joined(pieces) == _joined(heard)
    assert whole.aborted == cut.aborted
    whole.take()
    return [event for _, event in heard]


def _joined(events: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """Bodies that follow each other on a stream are one."""
    joined: list[tuple[int, Event]] = []
    for stream, event in events:
        if isinstance(event, Body) and joined and joined[-1][0] == stream and isinstance(joined[-1][1], Body):
            joined[-1] = (stream, Body(joined[-1][1].data + event.data))
        else:
            joined.append((stream, Body(event.data) if isinstance(event, Body) else event))
    return joined
