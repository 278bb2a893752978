"""What a captured pod's processes get to hear when they ask for names: real workers, and a name server outside."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

from mesh.address import NetworkAddress
from mesh.refusal import Reason
from mesh.workload import Membership, Port, Service, Workload
from tests.names_for_tests import SERVER, Stranger, addresses, ask, make_socket
from tests.pods_for_tests import VIP, assert_refused, exchange
from tests.tunnel_ends import until
from ztunnel.keeper import rules

pytestmark = pytest.mark.netns

HOST = "db.shop.svc.cluster.local"
ENTRY = Service("bank", "shop", "bank.example.com", (NetworkAddress("", ip_address("240.240.0.7")),))


@pytest.fixture
async def outside(pair, nursery) -> Stranger:
    """The second of the two name servers; nobody listens at the first."""
    stranger = Stranger({
        "www.example.org": ("192.0.2.80",),
        "alias.example.org": ("www.example.org", "192.0.2.80"),
    })  # fmt: skip
    return await nursery.start(stranger.serve, pair.db.place, pair.db.address(4))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("name", [HOST, "db", "db.shop", "DB.shop.svc", f"{HOST}.shop.svc.cluster.local"])
async def test_the_names_of_a_service_lead_to_its_address(pair, outside, name, tcp):
    reply = await ask(pair.web.place, name, tcp=tcp)
    assert addresses(reply) == {VIP}
    assert reply.flags & dns.flags.AA
    assert all(rrset.ttl == 30 for rrset in reply.answer)
    assert outside.asked == []


async def test_a_known_name_without_an_address_of_that_kind_exists_all_the_same(pair, outside):
    reply = await ask(pair.web.place, HOST, "AAAA")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])


async def test_a_host_of_a_service_entry_is_found_in_the_first_search_domain_already(pair, outside):
    pair.node.know(ENTRY)
    reply = await ask(pair.web.place, "bank.example.com.shop.svc.cluster.local")
    assert addresses(reply) == {"240.240.0.7"}
    assert reply.answer[0][0].to_text() == "bank.example.com."
    assert outside.asked == []


async def test_a_headless_service_is_its_ready_pods(pair, outside):
    crowd = Service("crowd", "shop", "crowd.shop.svc.cluster.local", canonical=True)
    pods = [
        replace(
            pair.db.workload, uid=f"crowd-{n}", name=f"crowd-{n}", addresses=(ip_address(f"10.9.0.{n}"),),
            services=(Membership(crowd.key),), healthy=n != 3,
        )
        for n in (1, 2, 3)
    ]  # fmt: skip
    pair.node.know(crowd, *pods)
    assert addresses(await ask(pair.web.place, "crowd")) == {"10.9.0.1", "10.9.0.2"}


async def test_too_many_addresses_for_a_datagram_come_by_tcp(pair, outside):
    crowd = Service("crowd", "shop", "crowd.shop.svc.cluster.local", canonical=True)
    pods = [
        replace(
            pair.db.workload, uid=f"crowd-{n}", name=f"crowd-{n}", addresses=(ip_address(f"10.9.0.{n}"),),
            services=(Membership(crowd.key),),
        )
        for n in range(1, 201)
    ]  # fmt: skip
    pair.node.know(crowd, *pods)
    short = await ask(pair.web.place, "crowd")
    assert short.flags & dns.flags.TC
    assert addresses(short) == set()
    assert len(addresses(await ask(pair.web.place, "crowd", tcp=True))) == 200


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_what_the_mesh_does_not_know_the_next_name_server_does(pair, outside, tcp):
    reply = await ask(pair.web.place, "alias.example.org", tcp=tcp)
    assert addresses(reply) == {"192.0.2.80"}
    assert outside.asked == [("alias.example.org", "tcp" if tcp else "udp")]
    assert (await ask(pair.web.place, "nobody.example.org", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
    assert (await ask(pair.web.place, HOST, "SRV", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN


async def test_a_silent_name_server_is_passed_over(pair, outside):
    make_socket(pair.db.place, (pair.db.address(6), 53), socket.SOCK_DGRAM)
    began = trio.current_time()
    assert addresses(await ask(pair.web.place, "www.example.org")) == {"192.0.2.80"}
    assert 1 < trio.current_time() - began < 5


async def test_where_nobody_answers_the_failure_is_said(pair):
    assert (await ask(pair.web.place, "www.example.org")).rcode() == dns.rcode.SERVFAIL
    await until(lambda: "istio_dns_upstream_failures_total{" in pair.node.metrics.page().decode())


async def test_a_name_server_that_fails_has_the_last_word_only_if_all_do(pair, outside):
    outside.code = dns.rcode.REFUSED
    assert (await ask(pair.web.place, "www.example.org")).rcode() == dns.rcode.REFUSED
    assert len(outside.asked) == 2


async def test_a_pod_that_serves_names_is_not_asked_its_own_questions(pair, outside):
    """Else it would be asked by its worker what it is asking itself, for ever."""
    names = Service("dns", "shop", "dns.shop.svc.cluster.local", (NetworkAddress("", ip_address(pair.db.address(4))),))
    pair.node.know(names, replace(pair.web.workload, services=(Membership(names.key),)))
    await ask(pair.web.place, HOST)  # the worker has heard of it by then
    assert (await ask(pair.web.place, "www.example.org")).rcode() == dns.rcode.SERVFAIL
    assert outside.asked == []


async def test_a_pod_that_opted_out_asks_by_itself(pair, outside):
    await rules.redirect(pair.web.place.namespace, ipv6=True, names=False)
    reply = await ask(pair.web.place, HOST, server=pair.db.address(4))
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert outside.asked == [(HOST, "udp")]


async def test_malformed_questions_are_refused_and_the_next_are_answered(pair, outside):
    sock = trio.socket.from_stdlib_socket(make_socket(pair.web.place, None, socket.SOCK_DGRAM))
    await sock.connect((SERVER, 53))
    good = dns.message.make_query(HOST, "A").to_wire()
    for packet, code in ((good[:-3], dns.rcode.FORMERR), (b"\x12\x34\x28" + good[3:], dns.rcode.NOTIMP)):
        await sock.send(packet)
        with trio.fail_after(5):
            reply = await sock.recv(512)
        assert (reply[:2], reply[3] & 0xF) == (packet[:2], code)
    for ignored in (b"", b"\x00" * 5, good[:2] + b"\x80" + good[3:]):
        await sock.send(ignored)
    assert addresses(await ask(pair.web.place, HOST)) == {VIP}
    assert outside.asked == []


async def test_names_go_on_while_the_supervisor_is_away(pair, outside):
    assert addresses(await ask(pair.web.place, HOST)) == {VIP}
    async with pair.node.away():
        assert addresses(await ask(pair.web.place, HOST)) == {VIP}
        assert addresses(await ask(pair.web.place, "www.example.org")) == {"192.0.2.80"}


async def test_dns_metrics(pair, outside):
    await ask(pair.web.place, HOST)
    await ask(pair.web.place, "www.example.org")
    labels = '{request_protocol="udp",request_query_type="A",source_workload="web",source_workload_namespace="shop"}'
    wanted = [
        f"istio_dns_requests_total{labels} 2.0",
        f"istio_dns_upstream_requests_total{labels} 1.0",
        f"istio_dns_upstream_request_duration_seconds_count{labels} 1.0",
    ]
    await until(lambda: set(wanted) <= set(pair.node.metrics.page().decode().splitlines()))


async def test_a_flood_of_questions_is_bounded_and_leaves_the_pods_calls_alone(pair):
    """Nobody answers, so each takes seconds; those over the bound are dropped, and answered ones are not delayed."""
    await ask(pair.web.place, HOST)
    sock = make_socket(pair.web.place, None, socket.SOCK_DGRAM)
    sock.connect((SERVER, 53))
    for number in range(2000):
        sock.send(dns.message.make_query(f"n{number}.example.org", "A").to_wire())
    application = pair.db.listen(8080)
    with trio.fail_after(5):
        await pair.web.call(VIP, 80)
        await application.accept()
    await until(lambda: "ambit_dns_refused_total{" in pair.node.metrics.page().decode())


FAR = Service("bank", "shop", "bank.example.com", (NetworkAddress("", ip_address("240.240.0.7")),), (Port(80, 8080),))


def named_endpoint(hostname: str) -> Workload:
    """What is known of an endpoint of a ServiceEntry whose names are resolved."""
    return Workload(f"bank/{hostname}", "bank", "shop", hostname=hostname, services=(Membership(FAR.key),))


async def test_on_demand_dns_request(pair, outside):
    """An endpoint's name is looked up when it is called: at the name servers, once for as long as they say."""
    outside.names = {"host.example.org": ("real.example.org", pair.db.address(4))}
    pair.node.know(FAR, named_endpoint("host.example.org"))
    application = pair.db.listen(8080)
    for _ in range(2):
        client = await pair.web.call("240.240.0.7", 80)
        await exchange(client, await application.accept())
        await client.aclose()
    assert [name for name, _ in outside.asked] == ["host.example.org"] * 2  # A and AAAA, once
    record = await pair.told(outbound=True, count=2)
    assert (record.service, str(record.destination.address)) == (FAR.key, f"{pair.db.address(4)}:8080")
    labels = '{source_workload="web",source_workload_namespace="shop"}'
    await until(lambda: f"istio_on_demand_dns_total{labels} 1.0" in pair.node.metrics.page().decode())


async def test_an_endpoint_without_an_address_is_passed_over(pair, outside):
    outside.names = {"host.example.org": (pair.db.address(4),)}
    pair.node.know(FAR, named_endpoint("gone.example.org"), named_endpoint("host.example.org"))
    application = pair.db.listen(8080)
    for _ in range(4):
        client = await pair.web.call("240.240.0.7", 80)
        await exchange(client, await application.accept())


async def test_a_call_to_a_name_that_nobody_resolves_is_refused_with_the_name(pair, outside):
    pair.node.know(FAR, named_endpoint("gone.example.org"))
    await assert_refused(pair.web, "240.240.0.7", 80)
    record = await pair.told(outbound=True)
    assert record.refusal.reason is Reason.NO_HEALTHY_ENDPOINT
    assert "gone.example.org" in record.refusal.detail
