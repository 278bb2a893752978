"""How connections begin and end is the applications' affair: workers pass on who speaks first, ends, and resets."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import replace

import pytest
import trio

from mesh.refusal import Reason
from mesh.workload import TunnelProtocol
from tests.pods_for_tests import assert_reset, close, exchange
from tests.tunnel_ends import until
from ztunnel.keeper import rules

pytestmark = pytest.mark.netns


@pytest.fixture(params=["hbone", "caller uncaptured", "callee uncaptured"])
async def way(request, pair):
    """Both workers with a tunnel between them; the callee's alone, on 15006; the caller's alone, without a tunnel."""
    if request.param == "caller uncaptured":
        await rules.remove(pair.web.place.namespace, ipv6=True)
    elif request.param == "callee uncaptured":
        await rules.remove(pair.db.place.namespace, ipv6=True)
        pair.node.know(replace(pair.db.workload, tunnel=TunnelProtocol.NONE))
    return pair


async def connect(pair):
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    with trio.fail_after(10):
        return client, await application.accept()


def reset(stream):
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def test_the_server_may_speak_first(way):
    client, server = await connect(way)
    await server.send_all(b"220 ready")
    with trio.fail_after(10):
        assert await client.receive_some(16) == b"220 ready"
    await exchange(client, server)
    await close(client, server)


async def test_the_server_may_say_everything_and_leave(way):
    client, server = await connect(way)
    await server.send_all(b"x" * 300_000)
    await server.aclose()
    received = b""
    with trio.fail_after(10):
        while piece := await client.receive_some(65536):
            received += piece
    assert len(received) == 300_000


@pytest.mark.parametrize("first", ["client", "server"])
async def test_each_side_ends_its_half_in_its_own_time(way, first):
    client, server = await connect(way)
    one, other = (client, server) if first == "client" else (server, client)
    with trio.fail_after(10):
        await one.send_all(b"last words")
        await one.send_eof()
        assert await other.receive_some(16) == b"last words"
        assert await other.receive_some(16) == b""
        for _ in range(3):
            await other.send_all(b"more")
            assert await one.receive_some(16) == b"more"
        await other.aclose()
        assert await one.receive_some(16) == b""


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("ended", [False, True], ids=["both speak", "its half has ended"])
async def test_a_reset_arrives_as_a_reset(way, first, ended):
    client, server = await connect(way)
    await exchange(client, server)
    one, other = (client, server) if first == "client" else (server, client)
    if ended:
        await one.send_eof()
        with trio.fail_after(10):
            assert await other.receive_some(16) == b""
    reset(one)
    if ended:  # the end of its half stands before the reset: only writing, or the kernel's own word, tells of it
        await until(lambda: other.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0)
    else:
        await assert_reset(other)
    await until(lambda: way.node.closed(outbound=True) or way.node.closed(outbound=False))
    for record in way.node.closed(outbound=True) + way.node.closed(outbound=False):
        assert record.refusal is None
        assert record.ending
        assert record.connect_seconds is not None


async def test_a_connection_whose_tunnel_breaks_has_failed(pair):
    client, server = await connect(pair)
    await exchange(client, server)
    pair.db.worker.process.kill()
    await assert_reset(client)
    record = await pair.told(outbound=True)
    assert record.refusal.reason is Reason.TUNNEL_LOST
    assert (record.sent, record.received) == (4, 4)
    assert 0 < record.connect_seconds <= record.first_byte_seconds <= record.seconds


async def test_a_caller_that_vanishes_without_a_word_is_asked_for(way):
    """TCP keepalive is on wherever a worker depends on somebody on the network."""
    client, server = await connect(way)
    await exchange(client, server)

    def asked_for() -> bool:
        lines = [
            line.split(maxsplit=4)
            for place in (way.web.place, way.db.place)
            for line in place.run("ss", "-Htno", "state", "established").splitlines()
        ]
        proxies = [one for one in lines if re.search(r":150(06|08)$", one[2]) or one[3].endswith(":15008")]
        passed_through = [one for one in lines if one[3].endswith(":8080") and "keepalive" in one[-1]]
        return bool(proxies or passed_through) and all("keepalive" in one[-1] for one in proxies)

    await until(asked_for)  # a packet on its way hides the timer for a moment
