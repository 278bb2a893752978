"""Who gets a tunnel and who does not, at both ends, over real TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mesh.address import Address
from mesh.hbone import fields, frames
from mesh.net.relay import KEEP_ALIVE, Relay
from mesh.net.tls import ClientTls, Credentials, ServerTls
from mesh.net.tunnel import DialFailed, HandshakeFailed, Tunnel
from mesh.refusal import Reason, Refusal
from tests.pki_for_tests import CART, STRANGER, WEB, authority, credentials
from tests.tunnel_ends import Inbound, listening, running_relay, until


@asynccontextmanager
async def inbound_of(papers: Credentials) -> AsyncIterator[tuple[Relay, Inbound, Address]]:
    async with running_relay() as relay:
        inbound = Inbound(relay, papers)
        async with listening(inbound.serve) as address:
            yield relay, inbound, address


async def refused_dial(relay: Relay, address: Address, papers: Credentials, **how: float) -> Refusal:
    with pytest.raises(DialFailed) as failure:
        await Tunnel.dial(relay, address, ClientTls(papers), frozenset([CART]), **how)
    return failure.value.refusal


async def test_the_right_papers_make_a_tunnel() -> None:
    async with inbound_of(credentials(CART)) as (relay, inbound, address):
        tunnel = await Tunnel.dial(relay, address, ClientTls(credentials(WEB)), frozenset([STRANGER, CART]))
        assert tunnel.peer == CART
        assert tunnel.remote == address
        await until(lambda: bool(inbound.tunnels))
        assert inbound.tunnels[0].peer == WEB
        assert inbound.tunnels[0].remote == tunnel.local


async def test_a_client_of_another_trust_domain_is_refused_though_its_root_is_trusted() -> None:
    async with inbound_of(credentials(CART)) as (relay, inbound, address):
        refusal = await refused_dial(relay, address, credentials(STRANGER, root=authority()))
        assert refusal.reason is Reason.HTTP2_FAILED
        await until(lambda: bool(inbound.refusals))
        assert inbound.refusals[0].reason is Reason.WRONG_TRUST_DOMAIN
        assert str(STRANGER) in inbound.refusals[0].detail


async def test_a_server_that_is_not_who_was_expected_is_refused() -> None:
    async with inbound_of(credentials(WEB)) as (relay, _, address):
        refusal = await refused_dial(relay, address, credentials(WEB))
        assert refusal.reason is Reason.WRONG_IDENTITY
        assert f"names {WEB}; expected {CART}" in refusal.detail


@pytest.mark.parametrize("expired_end", ["client", "server"])
async def test_an_expired_certificate_is_refused_by_the_other_end(expired_end: str) -> None:
    async with inbound_of(credentials(CART, expired=expired_end == "server")) as (relay, inbound, address):
        refusal = await refused_dial(relay, address, credentials(WEB, expired=expired_end == "client"))
        await until(lambda: bool(inbound.refusals))
        judge = inbound.refusals[0] if expired_end == "client" else refusal
        assert judge.reason is Reason.CERTIFICATE_EXPIRED


async def test_a_certificate_of_an_unknown_root_is_refused() -> None:
    async with inbound_of(credentials(CART)) as (relay, _, address):
        refusal = await refused_dial(relay, address, credentials(WEB, root=authority("another root")))
        assert refusal.reason is Reason.TLS_FAILED
        assert "certificate is not accepted" in refusal.detail


async def test_a_client_without_certificate_is_refused() -> None:
    async with inbound_of(credentials(CART)) as (_, inbound, address):
        await talk(address, None)
        await until(lambda: bool(inbound.refusals))
        assert inbound.refusals[0].reason is Reason.NO_CERTIFICATE


async def test_a_client_that_speaks_no_tls_is_refused() -> None:
    async with inbound_of(credentials(CART)) as (_, inbound, address):
        stream = await trio.open_tcp_stream(str(address.ip), address.port)
        await stream.send_all(frames.PREFACE)
        await until(lambda: bool(inbound.refusals))
        assert inbound.refusals[0].reason is Reason.TLS_FAILED


async def test_a_client_that_offers_only_old_tls_is_refused(tmp_path: Path) -> None:
    async with inbound_of(credentials(CART)) as (_, inbound, address):
        context = client_context(credentials(WEB), tmp_path)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        await talk(address, context)
        await until(lambda: bool(inbound.refusals))
        assert inbound.refusals[0].reason is Reason.TLS_FAILED


async def test_a_caller_that_says_nothing_has_only_so_long() -> None:
    async with running_relay() as relay:
        ended = trio.Event()

        async def serve(sock: socket.socket) -> None:
            with pytest.raises(HandshakeFailed) as failure:
                await Tunnel.serve(relay, sock, ServerTls(credentials(CART)), lambda _: None, handshake_timeout=0.05)
            assert failure.value.refusal.reason is Reason.HANDSHAKE_TIMEOUT
            ended.set()

        async with listening(serve) as address:
            stream = await trio.open_tcp_stream(str(address.ip), address.port)
            with trio.fail_after(5):
                await ended.wait()
                assert await stream.receive_some() == b""


async def test_a_server_that_says_nothing_has_only_so_long() -> None:
    async def say_nothing(sock: socket.socket) -> None:
        with sock:
            await trio.sleep_forever()

    async with running_relay() as relay, listening(say_nothing) as address:
        refusal = await refused_dial(relay, address, credentials(WEB), timeout=0.05)
        assert refusal.reason is Reason.HANDSHAKE_TIMEOUT


async def test_nobody_listens() -> None:
    async with running_relay() as relay:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = Address.parse(f"127.0.0.1:{unused.getsockname()[1]}")
            refusal = await refused_dial(relay, address, credentials(WEB))
        assert refusal.reason is Reason.CONNECT_FAILED
        assert "Connection refused" in refusal.detail


GREETING = frames.PREFACE + frames.settings({})
HOSTILE = {
    "garbage": bytes(range(256)) * 4,
    "64 KiB of headers": GREETING
    + frames.headers(1, fields.encode_connect("a:1", [(b"x", bytes(65_536))]), end_stream=False, max_frame=16_384),
    "a frame of 2 MiB": GREETING + b"\x20\0\0\0\0\0\0\0\x01",
    "a flood of PING": GREETING + frames.frame(frames.PING, 0, 0, bytes(8)) * 2_100,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_peer_with_good_papers_gets_goaway_and_is_cut_off(name: str, tmp_path: Path) -> None:
    async with inbound_of(credentials(CART)) as (_, inbound, address):
        answer = await talk(address, client_context(credentials(WEB), tmp_path), HOSTILE[name])
        await until(lambda: inbound.tunnels[0].closed)
        violation = inbound.tunnels[0].connection.violation
        assert violation is not None
        assert frames.goaway(0, violation.code, violation.detail.encode())[13:] in answer


async def test_a_frame_cut_short_by_the_end_of_the_connection_harms_nobody(tmp_path: Path) -> None:
    async with inbound_of(credentials(CART)) as (_, inbound, address):
        context = client_context(credentials(WEB), tmp_path)
        await talk(address, context, GREETING + frames.HEAD.pack(1_000 << 8 | frames.HEADERS, 4, 1), wait=False)
        await until(lambda: bool(inbound.tunnels) and inbound.tunnels[0].closed)
        violation = inbound.tunnels[0].connection.violation
        assert violation is not None


async def test_a_peer_that_vanished_is_noticed(mock_clock: MockClock, tmp_path: Path) -> None:
    """It has shaken hands and reads no more: it misses two keep-alive periods, and not a third."""
    async with inbound_of(credentials(CART)) as (_, inbound, address):
        stream = await trio.open_tcp_stream(str(address.ip), address.port)
        secured = trio.SSLStream(stream, client_context(credentials(WEB), tmp_path))
        await secured.send_all(GREETING)
        await until_blocked(lambda: bool(inbound.tunnels))
        for period in range(4):
            assert not inbound.tunnels[0].closed, period
            mock_clock.jump(KEEP_ALIVE)
            await wait_all_tasks_blocked(0.01)
        assert inbound.tunnels[0].closed


async def until_blocked(what: Callable[[], bool]) -> None:
    """Like `until`, with a clock that stands still."""
    while not what():
        await wait_all_tasks_blocked(0.01)


def client_context(papers: Credentials, directory: Path) -> ssl.SSLContext:
    """A stock TLS client with these papers."""
    (directory / "papers.pem").write_bytes(papers.key_pem + papers.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=papers.roots_pem.decode())
    context.load_cert_chain(directory / "papers.pem")
    context.set_alpn_protocols(["h2"])
    return context


async def talk(address: Address, context: ssl.SSLContext | None, said: bytes = b"", *, wait: bool = True) -> bytes:
    """Be a stock TLS client that says `said`; returns what it hears until the other end hangs up."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

    def converse() -> bytes:
        heard = b""
        with socket.create_connection((str(address.ip), address.port), timeout=10) as plain:
            try:
                with context.wrap_socket(plain) as secured:
                    secured.sendall(said)
                    while wait and (data := secured.recv(65_536)):
                        heard += data
            except (ssl.SSLError, ConnectionError):
                return heard
        return heard

    return await trio.to_thread.run_sync(converse)
