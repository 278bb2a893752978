"""Connections of which a waypoint knows no more than layer 4: it decides once, and the bytes pass untouched."""

from __future__ import annotations

import socket

import pytest
import trio

from mesh.net.tunnel import Rejected
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.record import Event
from mesh.refusal import Reason
from mesh.snapshot import Drop
from mesh.traffic import LoadBalancing, Spread, Terms, TrafficPolicy
from mesh.workload import AppProtocol, Service, TunnelProtocol
from tests.tunnel_ends import echo, exchange, until
from tests.waypoint_app import App, status
from tests.waypoint_ends import VIP, World, endpoint, service, world

TCP = service("db", port=5432, protocol=AppProtocol.TCP)
UNKNOWN = service("db", port=5432, protocol=AppProtocol.UNKNOWN)
AT = f"{VIP}:5432"

DENY_WEB = Policy(
    "deny-web",
    "shop",
    Scope.TARGET,
    Action.DENY,
    (Rule((Clause((Match(namespaces=(TextMatch(TextMatchKind.EXACT, "shop"),)),)),)),),
    targets=(Target("Service", "shop", "db"),),
)


async def echoing(stream: trio.SocketStream) -> None:
    await echo(socket.socket(fileno=stream.socket.detach()))


async def greeting(stream: trio.SocketStream) -> None:
    """Speaks first, as mail servers and databases do."""
    async with stream:
        await stream.send_all(b"220 welcome\r\n")
        await stream.send_all(await stream.receive_some())


async def _placed(it: World, of: Service, tunnel: TunnelProtocol, app: object = echoing) -> None:
    ip = it.address()
    await it.nursery.start(it._listen, ip, 8080, app)
    if tunnel is TunnelProtocol.HBONE:
        await it.proxy(ip)
    it.put(endpoint("db-0", ip, of, tunnel=tunnel))


@pytest.mark.parametrize("of", [TCP, UNKNOWN])
@pytest.mark.parametrize("tunnel", [TunnelProtocol.HBONE, TunnelProtocol.NONE])
async def test_bytes_pass_untouched_and_are_counted(of: Service, tunnel: TunnelProtocol) -> None:
    async with world(of) as it:
        await _placed(it, of, tunnel)
        with trio.fail_after(20):
            assert await exchange(await it.open(AT), 5_000_000, 3)
        opened, closed = await it.recorded(2)
    assert (opened.event, closed.event) == (Event.OPENED, Event.CLOSED)
    assert (closed.received, closed.sent) == (5_000_000, 5_000_000)
    assert closed.service == of.key
    assert closed.refusal is None


@pytest.mark.parametrize("of", [TCP, UNKNOWN])
async def test_a_server_may_speak_first(of: Service) -> None:
    async with world(of, sniff_seconds=0.05) as it:
        await _placed(it, of, TunnelProtocol.HBONE, greeting)
        stream = await it.open(AT)
        with trio.fail_after(5):
            assert await stream.receive_some() == b"220 welcome\r\n"
            await stream.send_all(b"thanks")
            assert await stream.receive_some() == b"thanks"


@pytest.mark.parametrize("http2", [False, True])
async def test_http_is_found_where_nothing_is_declared(http2: bool) -> None:
    async with world(UNKNOWN) as it:
        await it.app(App(http2=http2), UNKNOWN)
        assert status(await it.ask(authority=AT, http2=http2)) == 200
        (record,) = await it.recorded(1)
    assert record.http is not None


async def test_a_denied_connection_is_refused_before_it_is_one() -> None:
    async with world(TCP, DENY_WEB) as it:
        await _placed(it, TCP, TunnelProtocol.HBONE)
        answer = await it.connect(AT)
        assert isinstance(answer, Rejected)
        assert answer.status == 401
        (record,) = await it.recorded(1)
    assert record.refusal is not None
    assert record.refusal.reason is Reason.POLICY_DENIED


async def test_a_policy_of_layer_7_fails_closed_where_layer_7_is_unknown() -> None:
    get = Rule((Clause((Match(methods=(TextMatch(TextMatchKind.EXACT, "GET"),)),)),))
    for action in (Action.DENY, Action.ALLOW):
        policy = Policy("l7", "shop", Scope.TARGET, action, (get,), targets=(Target("Service", "shop", "db"),))
        async with world(TCP, policy) as it:
            await _placed(it, TCP, TunnelProtocol.HBONE)
            assert isinstance(await it.connect(AT), Rejected)


async def test_a_live_connection_ends_when_it_is_denied() -> None:
    async with world(TCP) as it:
        await _placed(it, TCP, TunnelProtocol.HBONE)
        stream = await it.open(AT)
        await stream.send_all(b"still here")
        assert await stream.receive_some() == b"still here"
        it.put(DENY_WEB)
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        _, closed = await it.recorded(2)
    assert closed.refusal is not None
    assert closed.refusal.reason is Reason.POLICY_DENIED


async def test_a_live_connection_outlives_its_configuration() -> None:
    async with world(TCP) as it:
        await _placed(it, TCP, TunnelProtocol.HBONE)
        stream = await it.open(AT)
        await stream.send_all(b"one")
        assert await stream.receive_some() == b"one"
        it.change(Drop(Service, TCP.key))
        await stream.send_all(b"two")
        assert await stream.receive_some() == b"two"


async def test_a_break_at_one_end_is_a_break_at_the_other() -> None:
    async def vanish(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()

    async with world(TCP) as it:
        await _placed(it, TCP, TunnelProtocol.NONE, vanish)
        stream = await it.open(AT)
        await stream.send_all(b"x")
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


@pytest.mark.parametrize(
    ("authority", "expected", "reason"),
    [
        ("10.96.0.99:80", 503, Reason.UNKNOWN_DESTINATION),
        (f"{VIP}:81", 503, Reason.UNKNOWN_PORT),
        ("nowhere.shop.svc.cluster.local:80", 503, Reason.UNKNOWN_DESTINATION),
        ("no-port", 400, Reason.BAD_REQUEST),
        ("10.96.0.50:80", 503, Reason.UNKNOWN_DESTINATION),
        (AT, 503, Reason.NO_HEALTHY_ENDPOINT),
    ],
)
async def test_what_is_not_served_here_is_refused(authority: str, expected: int, reason: Reason) -> None:
    from dataclasses import replace

    elsewhere = replace(service("other", "10.96.0.50"), waypoint=None)
    async with world(TCP, elsewhere) as it:
        answer = await it.connect(authority)
        assert isinstance(answer, Rejected)
        assert answer.status == expected
        (record,) = await it.recorded(1)
    assert record.refusal is not None
    assert record.refusal.reason is reason


async def test_drain_waits_for_connections_in_progress() -> None:
    async with world(TCP) as it:
        await _placed(it, TCP, TunnelProtocol.HBONE)
        stream = await it.open(AT)
        it.server.drain()
        await stream.send_all(b"one")
        assert await stream.receive_some() == b"one"
        assert it.server.tunnels == 1
        await stream.send_eof()
        await until(lambda: not it.server.tunnels)


async def test_connections_of_several_callers_take_turns_and_are_counted_while_they_live() -> None:
    turns = TrafficPolicy(TCP.key, "shop", "db", Terms(balancing=LoadBalancing(Spread.ROUND_ROBIN)))
    async with world(TCP, turns) as it:
        uids = []
        for name in ("db-1", "db-2"):
            ip = it.address()
            await it.nursery.start(it._listen, ip, 8080, echoing)
            await it.proxy(ip)
            made = endpoint(name, ip, TCP)
            it.put(made)
            uids.append(made.uid)
        streams = [await it.open(AT) for _ in range(4)]
        assert [it.health.open(uid) for uid in uids] == [2, 2]
        for stream in streams:
            await stream.aclose()
        await until(lambda: not any(it.health.open(uid) for uid in uids))
