"""An application behind a waypoint that notes what reaches it, in HTTP/1.1 or HTTP/2 as its connections begin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from tests.http_exchange import Exchange, ExchangeCut, send_whole
from tests.http_link import Link
from tests.reference_http2 import Http2
from waypoint.http.events import Body, End, Event, RequestHead, Reset, ResponseHead, Trailers, value
from waypoint.http.http1_server import Http1Server

Handler = Callable[[Exchange, RequestHead], Awaitable[None]]


@dataclass
class App:
    """Serves by `handler`, which answers with what it was asked unless another is given."""

    name: str = "echo-1"
    http2: bool = False
    handler: Handler | None = None
    connections: int = 0
    asked: list[RequestHead] = field(default_factory=list)
    resets: list[Reset] = field(default_factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        self.connections += 1
        link = Link(stream, Http2(client=False) if self.http2 else Http1Server(), lambda: None)
        async with trio.open_nursery() as nursery:
            await link.run(lambda exchange: nursery.start_soon(self._one, exchange))

    async def _one(self, exchange: Exchange) -> None:
        with exchange:
            head = await exchange.receive()
            assert isinstance(head, RequestHead), head
            self.asked.append(head)
            try:
                await (self.handler or self.tell)(exchange, head)
            except ExchangeCut as cut:
                self.resets.append(cut.reset)

    async def tell(self, exchange: Exchange, head: RequestHead) -> None:
        """Answer with what was asked, the body by its size and hash."""
        size, digest, trailers = 0, hashlib.sha256(), []
        while not isinstance(event := await exchange.receive(), End):
            if isinstance(event, Reset):
                self.resets.append(event)
                return
            if isinstance(event, Body):
                size += len(event.data)
                digest.update(event.data)
            if isinstance(event, Trailers):
                trailers = [(name.decode(), text.decode()) for name, text in event.headers]
        told = {
            "pod": self.name,
            "method": head.method.decode(),
            "path": head.path.decode(),
            "authority": head.authority.decode(),
            "headers": [(name.decode(), text.decode()) for name, text in head.headers],
            "size": size,
            "sha256": digest.hexdigest(),
            "trailers": trailers,
        }
        body = json.dumps(told).encode()
        headers = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        await send_whole(exchange, ResponseHead(200, headers), b"" if head.method == b"HEAD" else body)


def told(events: list[Event]) -> dict[str, object]:
    """What the application told in its answer."""
    return dict(json.loads(next(event.data for event in events if isinstance(event, Body))))


def status(events: list[Event]) -> int:
    """The status of an answer."""
    return next(event.status for event in events if isinstance(event, ResponseHead))


def header(events: list[Event], name: str) -> bytes | None:
    """A header of an answer."""
    return next(value(event.headers, name.encode()) for event in events if isinstance(event, ResponseHead))
