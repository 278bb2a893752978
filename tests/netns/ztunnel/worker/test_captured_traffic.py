"""What happens to captured traffic, with real workers in real namespaces. Names follow ztunnel's own tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.address import Address
from mesh.identity import Identity
from mesh.refusal import Reason
from mesh.snapshot import Drop
from mesh.workload import GatewayAddress, NamespacedHostname, TunnelProtocol, Workload
from tests.pods_for_tests import VIP, assert_refused, assert_soon_refused, assert_soon_served, close, exchange
from ztunnel.keeper import rules

pytestmark = pytest.mark.netns

WEB = Identity("cluster.local", "shop", "web")
DB = Identity("cluster.local", "shop", "db")


@pytest.mark.parametrize("version", [4, 6])
async def test_cross_node_captured(pair, version):
    application = pair.db.listen(8080, version)
    client = await pair.web.call(pair.db.address(version), 8080)
    server = await application.accept()
    assert server.socket.getpeername()[0] == pair.web.address(version)
    await exchange(client, server)
    await close(client, server)
    for outbound in (True, False):
        record = await pair.told(outbound=outbound)
        assert record.mutual_tls
        assert (record.source.identity, record.destination.identity) == (WEB, DB)
        assert (record.source.workload.name, record.destination.workload.name) == ("web", "db")
        assert (record.sent, record.received) == (4, 4)
        assert record.refusal is None
    assert (await pair.told(outbound=True)).tunnel.port == 15008
    assert len({record.trace for record in pair.node.records}) == 1


async def test_vip_request(pair):
    application = pair.db.listen(8080)
    client = await pair.web.call(VIP, 80)
    await exchange(client, await application.accept())
    await client.aclose()
    for outbound in (False, True):
        record = await pair.told(outbound=outbound)
        assert record.service == "shop/db.shop.svc.cluster.local"
        assert record.destination.address == Address.parse(f"{pair.db.address()}:8080")


async def test_local_captured(pair):
    """A pod that calls its own service reaches itself, through its own worker."""
    application = pair.db.listen(8080)
    pair.db.place.run("ip", "route", "add", "10.96.0.0/16", "dev", "eth0")
    client = await pair.db.call(VIP, 80)
    server = await application.accept()
    assert server.socket.getpeername()[0] == pair.db.address()
    await exchange(client, server)


async def test_server_uncaptured(pair):
    await rules.remove(pair.db.place.namespace, ipv6=True)
    pair.node.know(replace(pair.db.workload, tunnel=TunnelProtocol.NONE))
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    assert server.socket.getpeername()[0] == pair.web.address()
    await exchange(client, server)
    await close(client, server)
    record = await pair.told(outbound=True)
    assert not record.mutual_tls
    assert record.destination.workload.name == "db"


async def test_client_uncaptured(pair):
    await rules.remove(pair.web.place.namespace, ipv6=True)
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    assert server.socket.getpeername()[0] == pair.web.address()
    await exchange(client, server)
    await close(client, server)
    record = await pair.told(outbound=False)
    assert (record.source.identity, record.mutual_tls) == (None, False)


async def test_unknown_destination_is_passed_through(pair):
    await rules.remove(pair.db.place.namespace, ipv6=True)
    pair.node.know(gone=[Drop(Workload, pair.db.workload.uid)])
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    await exchange(client, await application.accept())


async def test_half_close_travels(pair):
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    await client.send_all(b"question")
    await client.send_eof()
    assert await server.receive_some(16) == b"question"
    assert await server.receive_some(16) == b""
    await server.send_all(b"answer")
    await server.aclose()
    assert await client.receive_some(16) == b"answer"
    assert await client.receive_some(16) == b""


async def test_empty_service(pair):
    pair.node.know(replace(pair.db.workload, healthy=False))
    await assert_refused(pair.web, VIP, 80)
    record = await pair.told(outbound=True)
    assert record.refusal.reason is Reason.NO_HEALTHY_ENDPOINT
    assert "shop/db.shop.svc.cluster.local" in record.refusal.detail


async def test_missing_waypoint_is_refused_not_bypassed(pair):
    at = GatewayAddress(NamespacedHostname("shop", "waypoint.shop.svc.cluster.local"))
    pair.node.know(replace(pair.service, waypoint=at))
    pair.db.listen(8080)
    await assert_refused(pair.web, VIP, 80)
    assert (await pair.told(outbound=True)).refusal.reason is Reason.NO_HEALTHY_WAYPOINT


async def test_application_that_does_not_listen(pair):
    await assert_refused(pair.web, pair.db.address(), 8080)
    assert (await pair.told(outbound=False)).refusal.reason is Reason.CONNECT_FAILED
    assert (await pair.told(outbound=True)).refusal.reason is Reason.PEER_REFUSED


async def test_a_worker_is_kept_up_to_date_about_what_it_asked(pair):
    application = pair.db.listen(8080)
    client = await pair.web.call(VIP, 80)
    server = await application.accept()
    pair.node.know(replace(pair.db.workload, healthy=False))
    await assert_soon_refused(pair.web, VIP, 80)
    pair.node.know(pair.db.workload)
    await assert_soon_served(pair.web, VIP, 80, application)
    await exchange(client, server)
