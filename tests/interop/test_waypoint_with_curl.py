"""curl before a waypoint and Python's own HTTP server behind it: neither knows anything of the mesh."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trio

from mesh.workload import AppProtocol
from tests.waypoint_ends import World, endpoint, service, world

pytestmark = pytest.mark.interop

ECHO = service(protocol=AppProtocol.HTTP11)
VERSIONS = pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge", "--http1.0"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"x" * 3_000_000 if self.path == "/large" else self.path.encode())

    do_DELETE = do_HEAD = do_GET

    def do_POST(self) -> None:
        body = (
            self.rfile.read(int(self.headers["content-length"])) if "content-length" in self.headers else self._chunks()
        )
        self._answer(json.dumps({"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}).encode())

    do_PUT = do_POST

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"one ", b"two")) + b"0\r\n\r\n")
            return
        if self.path == "/close":
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Connection", self.headers.get("connection", "none"))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def _server(ip: str) -> Iterator[None]:
    server = ThreadingHTTPServer((ip, 8080), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def _curl(it: World, *arguments: str) -> bytes:
    port = await it.door()
    command = [
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        *(one.replace("@", f"http://127.0.0.1:{port}") for one in arguments),
    ]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    return bytes(done.stdout)


async def _with_curl(*arguments: str) -> bytes:
    async with world(ECHO) as it:
        ip = it.address()
        await it.proxy(ip)
        it.put(endpoint("echo-1", ip, ECHO))
        with _server(ip):
            return await _curl(it, *arguments)


@VERSIONS
async def test_get(version: str) -> None:
    assert await _with_curl(version, "@/some/path?x=y") == b"/some/path?x=y"


@VERSIONS
async def test_head(version: str) -> None:
    answer = await _with_curl(version, "-I", "@/abc")
    assert b" 200" in answer.splitlines()[0]
    assert b"content-length: 4" in answer.lower()


@VERSIONS
@pytest.mark.parametrize("path", ["/chunked", "/close"])
async def test_answers_without_a_length(version: str, path: str) -> None:
    assert await _with_curl(version, f"@{path}") == (b"one two" if path == "/chunked" else b"/close")


@VERSIONS
async def test_large_answer(version: str) -> None:
    assert await _with_curl(version, "@/large") == b"x" * 3_000_000


@VERSIONS
@pytest.mark.parametrize("chunked", [False, True])
async def test_upload(version: str, chunked: bool, tmp_path: Path) -> None:
    if version == "--http1.0" and chunked:
        chunked = False
    body = bytes(range(256)) * 20_000
    file = tmp_path / "body"
    file.write_bytes(body)
    extra = ["-H", "Transfer-Encoding: chunked"] if chunked and version == "--http1.1" else []
    answer = json.loads(await _with_curl(version, "-X", "POST", "-T", str(file), *extra, "@/"))
    assert answer == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


async def test_many_requests_on_one_connection() -> None:
    answer = await _with_curl("--http1.1", "@/[1-20]")
    assert answer == b"".join(b"/%d" % number for number in range(1, 21))


async def test_headers_of_one_hop_stay_on_it() -> None:
    answer = await _with_curl("-i", "-H", "Connection: keep-alive, X-Secret", "-H", "X-Secret: 1", "@/")
    assert b"x-connection: none" in answer.lower()
