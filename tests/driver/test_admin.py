"""The small HTTP listeners, asked by a real HTTP client."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import trio

from mesh.net import admin

PIECES = 10_000
"""A hundred megabytes: more than the kernel takes from somebody whose peer does not read."""


async def ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    def call() -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        client.request(method, path)
        answer = client.getresponse()
        return answer.status, answer.read()

    return await trio.to_thread.run_sync(call)


async def test_pages_are_found_by_method_and_path() -> None:
    pages: admin.Pages = {
        ("GET", "/healthz/ready"): lambda _: admin.Page(b"not ready, pending: xds\n", status=500),
        ("POST", "/logging"): lambda ask: admin.Page(ask.query.encode()),
    }
    at = admin.listener("127.0.0.1", 0)
    port = at.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(admin.serve, at, pages)
        assert await ask(port, "GET", "/healthz/ready") == (500, b"not ready, pending: xds\n")
        assert await ask(port, "HEAD", "/healthz/ready") == (500, b"")
        assert await ask(port, "POST", "/logging?level=debug") == (200, b"level=debug")
        assert (await ask(port, "GET", "/logging"))[0] == 405
        status, body = await ask(port, "GET", "/nowhere")
        assert status == 404
        assert b"GET /healthz/ready" in body
        nursery.cancel_scope.cancel()


async def test_a_page_of_many_pieces_arrives_whole_and_lets_others_in_between() -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(PIECES):
            made.append(number)
            yield b"x" * 10_000

    at = admin.listener("127.0.0.1", 0)
    port = at.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        pages: admin.Pages = {
            ("GET", "/long"): lambda _: admin.Page(pieces()),
            ("GET", "/whole"): lambda _: admin.Page(iter((b"a", b"bc"))),
            ("GET", "/short"): lambda _: admin.Page(b"%d" % len(made)),
        }
        nursery.start_soon(admin.serve, at, pages)
        slow = await trio.open_tcp_stream("127.0.0.1", port)
        await slow.send_all(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        await slow.receive_some(1)  # it has begun, and nobody reads on
        _, body = await ask(port, "GET", "/short")
        assert int(body) < PIECES
        assert await ask(port, "GET", "/whole") == (200, b"abc")
        assert await ask(port, "HEAD", "/long") == (200, b"")
        nursery.cancel_scope.cancel()


async def test_garbage_ends_that_connection_only() -> None:
    at = admin.listener("127.0.0.1", 0)
    port = at.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(admin.serve, at, {("GET", "/"): lambda _: admin.Page(b"here")})
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"\x16\x03\x01garbage\r\n\r\n")
        assert await stream.receive_some() == b""
        assert await ask(port, "GET", "/") == (200, b"here")
        nursery.cancel_scope.cancel()
