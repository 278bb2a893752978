"""Tunnels between us and a real Envoy, both ways."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from mesh.address import Address
from mesh.net.relay import Relay
from mesh.net.tls import ClientTls
from mesh.net.tunnel import DialFailed, Stream, Tunnel
from mesh.refusal import Reason
from tests.interop.envoy import Envoy, hbone_client, hbone_server, run_envoy
from tests.pki_for_tests import CART, STRANGER, WEB, authority, credentials
from tests.tunnel_ends import Inbound, Serve, echo, exchange, listening, running_relay, until

pytestmark = pytest.mark.interop

STREAMS = 8
SIZE = 3_000_000


async def all_come_back(streams: list[trio.abc.HalfCloseableStream]) -> bool:
    """Whether all streams, used at once, echo what was sent."""
    same: list[bool] = []

    async def one(seed: int, stream: trio.abc.HalfCloseableStream) -> None:
        async with stream:
            same.append(await exchange(stream, SIZE, seed))

    async with trio.open_nursery() as nursery:
        for seed, stream in enumerate(streams):
            nursery.start_soon(one, seed, stream)
    return same == [True] * len(streams)


async def through_envoy(address: Address) -> trio.SocketStream:
    return await trio.open_tcp_stream(str(address.ip), address.port)


async def client_tunnel(relay: Relay, server: Address) -> Tunnel:
    return await Tunnel.dial(relay, server, ClientTls(credentials(WEB)), frozenset([CART]))


async def opened(tunnel: Tunnel) -> Stream:
    stream = await tunnel.connect("10.0.0.1:80")
    assert isinstance(stream, Stream)
    return stream


@asynccontextmanager
async def envoy_serving(directory: Path, upstream: Serve) -> AsyncIterator[tuple[Relay, Address, Envoy]]:
    """Envoy as the server end in front of `upstream`."""
    async with running_relay() as relay, listening(upstream) as address:
        config = hbone_server(directory, credentials(CART), address)
        async with run_envoy(directory, config) as envoy:
            yield relay, await envoy.listener("hbone"), envoy


async def test_envoy_calls_us(tmp_path: Path) -> None:
    async with running_relay() as relay, listening(echo) as upstream:
        inbound = Inbound(relay, credentials(CART))
        async with listening(inbound.serve) as server:
            config = hbone_client(tmp_path, credentials(WEB), server, str(upstream), [CART])
            async with run_envoy(tmp_path, config) as envoy:
                plain = await envoy.listener("plain")
                assert await all_come_back([await through_envoy(plain) for _ in range(STREAMS)])
                await until(lambda: len(inbound.endings) == STREAMS)
                assert inbound.endings == ["fin"] * STREAMS
                assert {request.peer for request in inbound.requests} == {WEB}
                assert inbound.requests[0].headers[b"baggage"] == b"service.name=envoy"


async def test_we_call_envoy(tmp_path: Path) -> None:
    async with envoy_serving(tmp_path, echo) as (relay, server, _):
        tunnel = await client_tunnel(relay, server)
        assert await all_come_back([(await opened(tunnel)).open() for _ in range(STREAMS)])
        await until(lambda: tunnel.streams == 0)
        assert tunnel.usable


async def test_our_reset_ends_the_connection_behind_envoy(tmp_path: Path) -> None:
    ended = trio.Event()

    async def wait_for_end(sock: socket.socket) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        ended.set()

    async with envoy_serving(tmp_path, wait_for_end) as (relay, server, _):
        stream = await opened(await client_tunnel(relay, server))
        stream.reset()
        with trio.fail_after(5):
            await ended.wait()


async def test_a_draining_envoy_takes_no_new_streams_and_keeps_the_old(tmp_path: Path) -> None:
    async with envoy_serving(tmp_path, echo) as (relay, server, envoy):
        tunnel = await client_tunnel(relay, server)
        old = (await opened(tunnel)).open()
        await envoy.admin("/drain_listeners?graceful&skip_exit", method="POST")
        with trio.fail_after(10):
            while tunnel.usable:
                await tunnel.connect("10.0.0.1:80")
        assert await exchange(old, SIZE, seed=1)


async def test_the_tunnel_ends_with_envoy(tmp_path: Path) -> None:
    async with envoy_serving(tmp_path, echo) as (relay, server, _):
        tunnel = await client_tunnel(relay, server)
        stream = (await opened(tunnel)).open()
    with trio.fail_after(5):
        await tunnel.wait_closed()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"too late")


async def test_envoy_of_another_trust_domain_is_refused(tmp_path: Path) -> None:
    """Its certificate is signed by our root all the same: the trust domain alone is wrong."""
    async with running_relay() as relay, listening(echo) as upstream:
        inbound = Inbound(relay, credentials(CART))
        async with listening(inbound.serve) as server:
            config = hbone_client(tmp_path, credentials(STRANGER, root=authority()), server, str(upstream), [CART])
            async with run_envoy(tmp_path, config) as envoy:
                stream = await through_envoy(await envoy.listener("plain"))
                assert await stream.receive_some() == b""
                await until(lambda: bool(inbound.refusals))
                assert inbound.refusals[0].reason is Reason.WRONG_TRUST_DOMAIN
                assert inbound.requests == []


async def test_envoy_refuses_us_when_we_are_of_another_trust_domain(tmp_path: Path) -> None:
    async with envoy_serving(tmp_path, echo) as (relay, server, _):
        papers = ClientTls(credentials(STRANGER, root=authority()))
        with pytest.raises(DialFailed) as refused:
            await Tunnel.dial(relay, server, papers, frozenset([CART]))
        assert refused.value.refusal.reason in {Reason.TLS_FAILED, Reason.HTTP2_FAILED}


async def test_we_refuse_an_envoy_that_is_not_who_we_expect(tmp_path: Path) -> None:
    async with envoy_serving(tmp_path, echo) as (relay, server, _):
        with pytest.raises(DialFailed) as refused:
            await Tunnel.dial(relay, server, ClientTls(credentials(WEB)), frozenset([WEB]))
        assert refused.value.refusal.reason is Reason.WRONG_IDENTITY
