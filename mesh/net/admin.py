"""Small HTTP/1.1 listeners for people, probes and scrapers: metrics, readiness, the configuration in force."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import h11
import trio

_IDLE_SECONDS: Final = 30.0
_LARGEST_HEAD: Final = 16 * 1024
_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its body, what it is, and its status."""

    body: bytes | Iterable[bytes]
    """Pieces, where the whole takes long to make: others get their turn between two of them."""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as a page sees it: `query` is what stands behind the question mark."""

    method: str
    path: str
    query: str


Handler = Callable[[Ask], Page]
Pages = Mapping[tuple[str, str], Handler]
"""(method, path) to the handler of it."""


def listener(host: str, port: int) -> trio.SocketListener:
    """A listening socket at once, so that a port already taken is known before anything else starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    raw = socket.socket(family, socket.SOCK_STREAM)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        raw.bind((host, port))
    except OSError as fault:
        raw.close()
        raise OSError(fault.errno, f"cannot listen on {host} port {port}: {fault.strerror}") from fault
    raw.listen(_CONNECTIONS)
    return trio.SocketListener(trio.socket.from_stdlib_socket(raw))


async def serve(at: trio.SocketListener, pages: Pages) -> None:
    """Answer requests for these pages until cancelled. At most 64 connections at a time; idle ones end after 30 s."""
    room = trio.CapacityLimiter(_CONNECTIONS)

    async def one(stream: trio.SocketStream) -> None:
        async with room:
            with trio.move_on_after(_IDLE_SECONDS):
                await _converse(stream, pages)

    await trio.serve_listeners(one, [at])


async def _converse(stream: trio.SocketStream, pages: Pages) -> None:
    wire = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
    try:
        async with stream:
            while (request := await _request(stream, wire)) is not None:
                await _answer(stream, wire, _page(request, pages), head_only=request.method == b"HEAD")
                if wire.our_state is not h11.DONE:
                    return
                wire.start_next_cycle()
    except (OSError, trio.BrokenResourceError, h11.ProtocolError):
        return


async def _request(stream: trio.SocketStream, wire: h11.Connection) -> h11.Request | None:
    request: h11.Request | None = None
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(await stream.receive_some(_LARGEST_HEAD))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None


def _page(request: h11.Request, pages: Pages) -> Page:
    path, _, query = request.target.decode("ascii", "replace").partition("?")
    method = "GET" if request.method == b"HEAD" else request.method.decode("ascii")
    handler = pages.get((method, path))
    if handler is not None:
        return handler(Ask(method, path, query))
    known = ", ".join(sorted(f"{verb} {where}" for verb, where in pages))
    wrong_method = any(where == path for _, where in pages)
    return Page(f"nothing here; there is: {known}\n".encode(), status=405 if wrong_method else 404)


async def _answer(stream: trio.SocketStream, wire: h11.Connection, page: Page, *, head_only: bool) -> None:
    headers = [("content-type", page.content_type)]
    if isinstance(page.body, bytes):
        headers.append(("content-length", str(len(page.body))))
    await stream.send_all(wire.send(h11.Response(status_code=page.status, headers=headers)) or b"")
    for piece in () if head_only else (page.body,) if isinstance(page.body, bytes) else page.body:
        await stream.send_all(wire.send(h11.Data(data=piece)) or b"")
    await stream.send_all(wire.send(h11.EndOfMessage()) or b"")
