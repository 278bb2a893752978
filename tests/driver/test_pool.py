"""Which tunnel a stream goes on: shared dials, limits, drained and idle tunnels, renewed credentials."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mesh.address import Address
from mesh.identity import Identity
from mesh.net.pool import IDLE_SECONDS, STREAMS_PER_TUNNEL, Pool, PoolKey
from mesh.net.relay import KEEP_ALIVE
from mesh.net.tls import ClientTls
from mesh.net.tunnel import DialFailed, Stream
from mesh.refusal import Reason
from tests.pki_for_tests import CART, WEB, credentials
from tests.tunnel_ends import Inbound, echo, listening, running_relay, until


@dataclass
class Mesh:
    """A pool, a peer for it, and a server behind the peer."""

    pool: Pool
    inbound: Inbound
    key: PoolKey
    server: Address

    async def stream(self) -> Stream:
        found = await self.pool.connect(self.key, str(self.server))
        assert isinstance(found, Stream)
        return found


@asynccontextmanager
async def mesh() -> AsyncIterator[Mesh]:
    async with running_relay() as relay, listening(echo) as server:
        inbound = Inbound(relay, credentials(CART))
        async with listening(inbound.serve) as address:
            pool = Pool(relay, ClientTls(credentials(WEB)))
            yield Mesh(pool, inbound, PoolKey(frozenset([CART]), address), server)


async def test_callers_at_once_share_one_dial_and_one_tunnel() -> None:
    async with mesh() as m:
        tunnels = set()

        async def call() -> None:
            tunnels.add((await m.stream()).tunnel)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(call)
        assert len(tunnels) == m.pool.tunnels == len(m.inbound.tunnels) == 1


async def test_a_full_tunnel_is_joined_by_another() -> None:
    async with mesh() as m:
        streams = [await m.stream() for _ in range(STREAMS_PER_TUNNEL + 1)]
        assert m.pool.tunnels == 2
        streams[0].reset()
        assert (await m.stream()).tunnel is streams[0].tunnel


async def test_keys_do_not_share() -> None:
    async with mesh() as m:
        first = await m.stream()
        m.key = PoolKey(frozenset([CART, WEB]), m.key.address)
        assert (await m.stream()).tunnel is not first.tunnel


async def test_all_who_wait_for_a_dial_hear_that_it_failed() -> None:
    async with mesh() as m:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            m.key = PoolKey(m.key.accepts, Address(m.server.ip, unused.getsockname()[1]))
            refusals = []

            async def call() -> None:
                with pytest.raises(DialFailed) as failure:
                    await m.stream()
                refusals.append(failure.value.refusal)

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(call)
        assert [refusal.reason for refusal in refusals] == [Reason.CONNECT_FAILED] * 5


async def test_a_caller_that_gives_up_does_not_take_the_dial_with_it() -> None:
    async with mesh() as m, trio.open_nursery() as nursery:
        impatient = trio.CancelScope()

        async def give_up() -> None:
            with impatient:
                await m.stream()

        nursery.start_soon(give_up)
        await trio.lowlevel.checkpoint()
        impatient.cancel()
        await m.stream()
        assert len(m.inbound.tunnels) == 1


async def test_a_draining_tunnel_is_left_and_no_stream_is_lost() -> None:
    async with mesh() as m:
        old = await m.stream()
        m.inbound.tunnels[0].drain()
        streams = [await m.stream() for _ in range(3)]
        await until(lambda: not old.tunnel.usable)
        new = await m.stream()
        assert new.tunnel is not old.tunnel
        for stream in (old, *streams, new):
            async with stream.open() as opened:
                await opened.send_all(b"hello")
                assert await opened.receive_some() == b"hello"


async def test_a_broken_tunnel_is_replaced() -> None:
    async with mesh() as m:
        old = await m.stream()
        m.inbound.tunnels[0].abort()
        await until(lambda: old.tunnel.closed)
        assert (await m.stream()).tunnel is not old.tunnel
        assert m.pool.tunnels == 1


async def test_new_credentials_are_for_new_tunnels() -> None:
    job = Identity("cluster.local", "shop", "job")
    async with mesh() as m:
        old = await m.stream()
        m.pool.renew(ClientTls(credentials(job)))
        assert (await m.stream()).tunnel is old.tunnel
        old.tunnel.abort()
        await m.stream()
        assert [tunnel.peer for tunnel in m.inbound.tunnels] == [WEB, job]


async def test_a_drained_pool_closes_its_tunnels_as_their_streams_end() -> None:
    async with mesh() as m:
        stream = await m.stream()
        m.pool.drain()
        async with stream.open() as opened:
            await opened.send_all(b"hello")
            assert await opened.receive_some() == b"hello"
        with trio.fail_after(5):
            await stream.tunnel.wait_closed()
        await until(lambda: m.inbound.tunnels[0].closed)


async def test_a_tunnel_that_nothing_uses_is_released(mock_clock: MockClock) -> None:
    async with mesh() as m:
        stream = await m.stream()
        await pass_time(mock_clock, IDLE_SECONDS + KEEP_ALIVE)
        assert m.pool.tunnels == 1
        stream.reset()
        await pass_time(mock_clock, IDLE_SECONDS - KEEP_ALIVE)
        assert m.pool.tunnels == 1
        await pass_time(mock_clock, 3 * KEEP_ALIVE)
        assert m.pool.tunnels == 0


async def test_a_stream_that_is_idle_for_an_hour_lives_by_pings(mock_clock: MockClock) -> None:
    async with mesh() as m:
        stream = await m.stream()
        opened = stream.open()
        await pass_time(mock_clock, 3600)
        await opened.send_all(b"good morning")
        assert await opened.receive_some() == b"good morning"
        assert m.pool.tunnels == 1


async def pass_time(clock: MockClock, seconds: float) -> None:
    for _ in range(int(seconds / KEEP_ALIVE)):
        clock.jump(KEEP_ALIVE)
        await wait_all_tasks_blocked(0.01)
