"""The keys of issuers: fetched from real servers within bounds, kept through failures, never from ourselves."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import Thread

import pytest

from istiod_lite import fetch as fetching
from istiod_lite import issuers as keeping
from istiod_lite.fetch import Reach, fetch
from istiod_lite.issuers import Issuers
from mesh import pki
from mesh.jwks import LONGEST, public_jwks
from tests.tokens_for_tests import Issuer

HERE = Reach((ip_network("127.0.0.0/8"),))
PATIENCE = 30.0


@dataclass
class Site:
    """A web server and what it answers."""

    port: int = 0
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def uri(self, path: str = "/jwks", scheme: str = "http") -> str:
        return f"{scheme}://localhost:{self.port}{path}"


@contextmanager
def site(tls: ssl.SSLContext | None = None, body: str = "") -> Iterator[Site]:
    told = Site(body=body.encode())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    told.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetched(uri: str, reach: Reach = HERE, most: int = LONGEST) -> str:
    return asyncio.run(fetch(uri, reach, most))


def test_what_is_there_is_fetched() -> None:
    with site(body="hello") as it:
        assert fetched(it.uri("/a?b=c")) == "hello"
    assert it.asked == ["/a?b=c"]


def test_a_site_with_a_certificate_is_believed_by_the_authority_that_was_named(tmp_path: Path) -> None:
    authority, key = pki.new_authority("cluster.local", datetime.now(UTC)), pki.new_key()
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "site.pem").write_bytes(
        pki.key_pem(key) + pki.issue_server(authority, key, ("localhost",), datetime.now(UTC))
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "site.pem")
    with site(tls, "hello") as it:
        assert fetched(it.uri(scheme="https"), Reach(HERE.networks, tmp_path / "ca.pem")) == "hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            fetched(it.uri(scheme="https"))
    assert it.asked == ["/jwks"]


def test_cve_2026_41413_our_own_host_is_not_asked_for_keys_by_whatever_name() -> None:
    with site(body="secret") as it:
        for host in ("localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"):
            with pytest.raises(OSError, match="from where nothing is fetched"):
                fetched(f"http://{host}:{it.port}/jwks", Reach())
    assert it.asked == []


@pytest.mark.parametrize(
    "ip",
    ["169.254.169.254", "fe80::1", "127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:127.0.0.1",
     "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "100.100.100.200"],
)  # fmt: skip
def test_cve_2026_41413_where_clouds_keep_credentials_nothing_is_fetched(ip: str) -> None:
    assert not Reach().allows(ip_address(ip))
    assert not Reach((ip_network("10.0.0.0/8"), ip_network("fd00::/64"))).allows(ip_address(ip))


@pytest.mark.parametrize("ip", ["10.96.0.1", "192.0.2.1".replace("192.0.2", "8.8.8"), "fd12::1", "2600::1"])
def test_an_issuer_in_the_cluster_or_outside_is_asked(ip: str) -> None:
    assert Reach().allows(ip_address(ip))


def test_cve_2026_41413_a_redirect_is_not_followed() -> None:
    with site(body="no") as other, site() as it:
        it.status, it.headers = 302, {"Location": other.uri()}
        with pytest.raises(OSError, match="status 302"):
            fetched(it.uri())
    assert other.asked == []


def test_an_answer_is_bounded_in_size_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with site(body="x" * 100_001) as it, pytest.raises(ValueError, match="more than 100000 bytes"):
        fetched(it.uri(), most=100_000)
    monkeypatch.setattr(fetching, "PATIENCE", 0.3)

    async def silent() -> None:
        server = await asyncio.start_server(lambda _r, _w: asyncio.sleep(PATIENCE), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError, match=r"no answer within 0.3 s"):
            await fetch(f"http://127.0.0.1:{port}/", HERE, 100)
        server.close()

    asyncio.run(silent())


def test_what_speaks_no_http_is_a_fault() -> None:
    async def rude() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="no HTTP"):
            await fetch(f"http://127.0.0.1:{port}/", HERE, 100)
        server.close()

    asyncio.run(rude())


Scenario = Callable[[Issuers, Callable[[Callable[[], bool]], Awaitable[None]]], Awaitable[None]]


def keep(kept: Path, scenario: Scenario) -> Issuers:
    """Issuers at work while the scenario goes on."""
    found = Issuers(lambda uri: fetch(uri, HERE, LONGEST), kept, lambda: 0.5)

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  what is waited for has no event
                await asyncio.sleep(0.01)

    async def play() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(found.run())
            await scenario(found, until)
            running.cancel()

    asyncio.run(play())
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "REFRESH", 0.03)
    monkeypatch.setattr(keeping, "RETRY", 0.03)


def test_keys_are_fetched_again_and_changed_ones_are_told(tmp_path: Path, quick: None) -> None:
    old, new = Issuer().jwks, Issuer().jwks
    told: list[str] = []

    async def play(issuers: Issuers, until: Callable[[Callable[[], bool]], Awaitable[None]]) -> None:
        issuers.changed = lambda: told.append(issuers.keys[it.uri()])
        issuers.want([it.uri()])
        assert issuers.missing == {it.uri()}
        await until(lambda: bool(told))
        count = len(it.asked)
        await until(lambda: len(it.asked) > count + 2)
        it.body = new.encode()
        await until(lambda: len(told) == 2)

    with site(body=old) as it:
        issuers = keep(tmp_path / "jwks.json", play)
    assert told == [public_jwks(old), public_jwks(new)]
    assert issuers.missing == frozenset()


def test_cve_2026_31837_a_failure_leaves_the_last_good_keys_and_no_others(tmp_path: Path, quick: None) -> None:
    good = Issuer()

    async def play(issuers: Issuers, until: Callable[[Callable[[], bool]], Awaitable[None]]) -> None:
        issuers.want([it.uri()])
        it.status = 500
        await until(lambda: bool(issuers.faults))
        assert issuers.keys == {}
        it.status = 200
        await until(lambda: not issuers.faults and bool(issuers.keys))
        secret = json.dumps({"keys": [Issuer().key.as_dict(private=True)]})
        for status, body in ((503, good.jwks), (200, "oops"), (200, '{"keys": []}'), (200, secret)):
            it.status, it.body = status, body.encode()
            count = len(it.asked)
            await until(lambda count=count: len(it.asked) > count + 1 and bool(issuers.faults))  # type: ignore[misc]
            assert issuers.keys == {it.uri(): public_jwks(good.jwks)}

    with site(body=good.jwks) as it:
        keep(tmp_path / "jwks.json", play)


def test_a_restart_while_the_issuer_is_away_takes_nobodys_keys(tmp_path: Path, quick: None) -> None:
    good, kept = Issuer().jwks, tmp_path / "jwks.json"

    async def learn(issuers: Issuers, until: Callable[[Callable[[], bool]], Awaitable[None]]) -> None:
        issuers.want([it.uri()])
        await until(lambda: bool(issuers.keys))

    async def restarted(issuers: Issuers, until: Callable[[Callable[[], bool]], Awaitable[None]]) -> None:
        issuers.want([it.uri()])
        assert issuers.keys == {it.uri(): public_jwks(good)}
        await until(lambda: bool(issuers.faults))
        assert issuers.keys == {it.uri(): public_jwks(good)}
        issuers.want([])
        assert issuers.keys == {}

    with site(body=good) as it:
        keep(kept, learn)
        it.status = 500
        keep(kept, restarted)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"a": 7}', '{"a": "{}"}', "{"])
def test_what_was_kept_and_is_of_no_use_is_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / "jwks.json").write_text(text)
    assert Issuers(lambda uri: fetch(uri, HERE, 1), tmp_path / "jwks.json", lambda: 0.5).keys == {}
