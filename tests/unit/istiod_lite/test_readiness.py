from __future__ import annotations

import asyncio

import pytest

from istiod_lite.readiness import Readiness


async def asked(readiness: Readiness, request: bytes) -> bytes:
    server = await readiness.serve("127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
    return answer


@pytest.mark.parametrize(
    ("ready", "request_", "beginning"),
    [
        (True, b"GET /healthz/ready HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 200 "),
        (False, b"GET /healthz/ready HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 500 "),
        (True, b"GET /secrets HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 404 "),
        (True, b"POST /healthz/ready HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 404 "),
        (True, b"half a request", b""),
        (True, b"GET /" + b"x" * 20000, b""),
    ],
)
def test_readiness_is_told_to_who_asks_properly(ready: bool, request_: bytes, beginning: bytes) -> None:
    readiness = Readiness()
    readiness.ready = ready
    answer = asyncio.run(asked(readiness, request_))
    assert answer.startswith(beginning)
    assert bool(answer) is bool(beginning)
