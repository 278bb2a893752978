"""A waypoint that is captured like any pod, with a worker before and behind it, as ztunnel's sandwich tests have it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
import trio

from mesh.address import Address, NetworkAddress
from mesh.identity import Identity
from mesh.proxy_protocol import ProxyHeader, parse
from mesh.workload import ApplicationTunnel, GatewayAddress, Membership, NamespacedHostname, Port, Service
from tests.pods_for_tests import assert_refused, close, exchange
from ztunnel.keeper import rules

pytestmark = pytest.mark.netns

WEB = Identity("cluster.local", "shop", "web")
FRONT = "10.96.0.7"


@pytest.fixture
def waypoint(pair):
    """Makes db the waypoint of the service `front`, with an application tunnel of this kind."""

    def made(tunnel: ApplicationTunnel):
        service = Service("wp", "shop", "wp.shop.svc.cluster.local", (), (Port(15008, 15008),))
        front = Service(
            "front",
            "shop",
            "front.shop.svc.cluster.local",
            (NetworkAddress("", ip_address(FRONT)),),
            (Port(80, 8080),),
            waypoint=GatewayAddress(NamespacedHostname("shop", service.hostname)),
        )
        db = replace(pair.db.workload, services=(Membership(service.key),), application_tunnel=tunnel)
        pair.node.know(service, front, db)
        return pair

    return made


def listening_on_loopback(pair):
    raw = pair.db.place.make_socket(4)
    raw.bind(("127.0.0.1", 15088))
    raw.listen()
    return trio.SocketListener(trio.socket.from_stdlib_socket(raw))


async def introduced(application):
    """The next connection, and what it says of itself; nothing comes with it before its caller has spoken."""
    with trio.fail_after(10):
        server = await application.accept()
        data = b""
        while (found := parse(data)) is None:
            data += await server.receive_some(4096)
    header, end = found
    assert data[end:] == b""
    return server, header


async def test_sandwich_waypoint_proxy_protocol(waypoint):
    pair = waypoint(ApplicationTunnel(proxy_protocol=True, port=15088))
    application = listening_on_loopback(pair)
    client = await pair.web.call(FRONT, 80)
    server, header = await introduced(application)
    source = Address(ip_address(pair.web.address()), header.source.port)
    assert header == ProxyHeader(source, Address.parse(f"{FRONT}:80"), WEB)
    await exchange(client, server)
    await close(client, server)
    record = await pair.told(outbound=False)
    assert (record.mutual_tls, record.source.identity) == (True, WEB)


async def test_workload_waypoint(waypoint):
    """A call to a pod's own address goes to that pod's waypoint, which is told of the address."""
    pair = waypoint(ApplicationTunnel(proxy_protocol=True, port=15088))
    at = GatewayAddress(NamespacedHostname("shop", "wp.shop.svc.cluster.local"))
    there = replace(
        pair.db.workload,
        uid="Kubernetes//Pod/shop/there",
        services=(),
        addresses=(ip_address("10.244.1.77"),),
        application_tunnel=None,
        waypoint=at,
    )
    pair.node.know(there)
    application = listening_on_loopback(pair)
    client = await pair.web.call("10.244.1.77", 9000)
    server, header = await introduced(application)
    assert header.destination == Address.parse("10.244.1.77:9000")
    await exchange(client, server)


async def test_sandwich_waypoint_plain(waypoint):
    pair = waypoint(ApplicationTunnel(proxy_protocol=False, port=8000))
    application = pair.db.listen(8000)
    client = await pair.web.call(FRONT, 80)
    server = await application.accept()
    assert server.socket.getpeername()[0] == pair.web.address()
    await exchange(client, server)


async def test_a_caller_without_a_tunnel_cannot_say_who_it_is(waypoint):
    """Its bytes would be taken for the proxy's word."""
    pair = waypoint(ApplicationTunnel(proxy_protocol=True, port=15088))
    await rules.remove(pair.web.place.namespace, ipv6=True)
    pair.db.listen(15088)
    await assert_refused(pair.web, pair.db.address(), 15088)


async def test_what_comes_out_of_the_waypoint_goes_to_the_endpoint(waypoint):
    """The gateway behind its worker calls the service: it is not sent round to itself, but to the endpoint by HBONE."""
    pair = waypoint(ApplicationTunnel(proxy_protocol=True, port=15088))
    key = "shop/front.shop.svc.cluster.local"
    pair.node.know(replace(pair.web.workload, services=(Membership(key, (Port(80, 8080),)),)))
    application = pair.web.listen(8080)
    pair.db.place.run("ip", "route", "add", "10.96.0.0/16", "dev", "eth0")
    client = await pair.db.call(FRONT, 80)
    server = await application.accept()
    await exchange(client, server)
    await close(client, server)
    record = await pair.told(outbound=True)
    assert (record.service, record.mutual_tls) == (key, True)
