"""The capture rules in a real pod namespace: what is redirected, what passes, and what is left afterwards."""

import socket
import struct

import pytest

from ztunnel.keeper import rules
from ztunnel.keeper.listeners import Listeners

pytestmark = pytest.mark.netns

MARK = 0x539
SO_ORIGINAL_DST = 80
TRANSPARENT = {4: (socket.SOL_IP, 19), 6: (socket.IPPROTO_IPV6, 75)}


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def version(request):
    return request.param


@pytest.fixture
def listeners(pod):
    opened = Listeners.open(pod.namespace)
    for sock in (opened.outbound, opened.inbound_plaintext, opened.inbound):
        sock.settimeout(5)
    yield opened
    opened.close()


def original_destination(sock: socket.socket, version: int) -> tuple[str, int]:
    if version == 4:
        port, packed = struct.unpack("!2xH4s8x", sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
        return socket.inet_ntop(socket.AF_INET, packed), port
    port, packed = struct.unpack("!2xH4x16s4x", sock.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28))
    return socket.inet_ntop(socket.AF_INET6, packed), port


def plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def echo(client: socket.socket, server: socket.socket) -> None:
    for text, one, other in ((b"ping", client, server), (b"pong", server, client)):
        one.sendall(text)
        assert other.recv(16) == text


async def test_what_the_pod_opens_arrives_at_15001_with_its_destination(pod, peer, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    client = pod.connect(version, peer, 8080)
    server, _ = listeners.outbound.accept()
    assert original_destination(server, version) == (peer.addresses[version], 8080)
    echo(client, server)


async def test_what_others_open_arrives_at_15006_with_its_destination_and_caller(pod, peer, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    client = peer.connect(version, pod, 8080)
    server, caller = listeners.inbound_plaintext.accept()
    assert original_destination(server, version) == (pod.addresses[version], 8080)
    assert plain(caller[0]) == peer.addresses[version]
    echo(client, server)


async def test_the_tunnel_port_is_reached_as_it_is(pod, peer, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    client = peer.connect(version, pod, 15008)
    server, _ = listeners.inbound.accept()
    echo(client, server)


async def test_the_workers_own_packets_pass(pod, peer, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    application = peer.listen(version, 8080)
    client = pod.connect(version, peer, 8080, mark=MARK)
    server, caller = application.accept()
    assert caller[0] == pod.addresses[version]
    echo(client, server)


async def test_what_a_pod_says_to_itself_is_not_captured(pod, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    application = pod.listen(version, 8080)
    client = pod.connect(version, pod, 8080)
    server, _ = application.accept()
    echo(client, server)


@pytest.mark.parametrize("reverse_path_filter", ["0", "1"])
async def test_the_application_sees_its_real_caller(pod, peer, listeners, version, reverse_path_filter):
    for device in ("all", "default", "eth0", "lo"):
        pod.run("sysctl", "-q", "-w", f"net.ipv4.conf.{device}.rp_filter={reverse_path_filter}")
    await rules.redirect(pod.namespace, ipv6=True)
    application = pod.listen(version, 8080)
    worker = pod.make_socket(version, mark=MARK)
    worker.setsockopt(*TRANSPARENT[version], 1)
    worker.bind((peer.addresses[version], 0))
    worker.connect((pod.addresses[version], 8080))
    server, caller = application.accept()
    assert caller[0] == peer.addresses[version]
    for _ in range(3):
        echo(worker, server)
    server.shutdown(socket.SHUT_WR)
    assert worker.recv(1) == b""


async def test_a_connection_older_than_its_capture_goes_on(pod, peer, listeners, version):
    outside = peer.listen(version, 8080)
    outbound = pod.connect(version, peer, 8080)
    far, _ = outside.accept()
    application = pod.listen(version, 8080)
    inbound = peer.connect(version, pod, 8080)
    near, _ = application.accept()
    await rules.redirect(pod.namespace, ipv6=True)
    echo(outbound, far)
    echo(far, outbound)
    echo(inbound, near)
    echo(near, inbound)


async def test_captured_connections_survive_renewed_rules_and_the_pods_leaving(pod, peer, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    outbound = pod.connect(version, peer, 8080)
    inbound = peer.connect(version, pod, 8080)
    worker_outbound, _ = listeners.outbound.accept()
    worker_inbound, _ = listeners.inbound_plaintext.accept()
    await rules.redirect(pod.namespace, ipv6=True)
    echo(outbound, worker_outbound)
    echo(inbound, worker_inbound)
    await rules.relax(pod.namespace)
    echo(outbound, worker_outbound)
    echo(inbound, worker_inbound)


async def test_a_connection_under_the_callers_address_survives_the_pods_leaving(pod, peer, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    application = pod.listen(version, 8080)
    worker = pod.make_socket(version, mark=MARK)
    worker.setsockopt(*TRANSPARENT[version], 1)
    worker.bind((peer.addresses[version], 0))
    worker.connect((pod.addresses[version], 8080))
    server, _ = application.accept()
    await rules.relax(pod.namespace)
    echo(worker, server)


async def test_a_leaving_pod_is_captured_no_more(pod, peer, listeners, version):
    await rules.redirect(pod.namespace, ipv6=True)
    await rules.relax(pod.namespace)
    outside, application = peer.listen(version, 8080), pod.listen(version, 8080)
    client = pod.connect(version, peer, 8080)
    server, _ = outside.accept()
    echo(client, server)
    client = peer.connect(version, pod, 8080)
    server, caller = application.accept()
    assert caller[0] == peer.addresses[version]
    echo(client, server)


def state(pod) -> list[str]:
    commands = (
        "nft list ruleset",
        "ip -4 rule",
        "ip -6 rule",
        "ip -4 route show table all",
        "ip -6 route show table all",
    )
    return [pod.run(*command.split()) for command in commands]


async def test_nothing_is_left_behind(pod):
    before = state(pod)
    await rules.redirect(pod.namespace, ipv6=True)
    await rules.redirect(pod.namespace, ipv6=True)
    assert state(pod) != before
    await rules.relax(pod.namespace)
    await rules.remove(pod.namespace, ipv6=True)
    assert state(pod) == before
    await rules.remove(pod.namespace, ipv6=True)
    assert state(pod) == before


async def test_a_pod_without_ipv6_is_captured_too(pod, peer):
    pod.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1")
    listeners = Listeners.open(pod.namespace)
    try:
        assert not listeners.ipv6
        await rules.redirect(pod.namespace, ipv6=listeners.ipv6)
        client = pod.connect(4, peer, 8080)
        listeners.outbound.settimeout(5)
        server, _ = listeners.outbound.accept()
        assert original_destination(server, 4) == (peer.addresses[4], 8080)
        echo(client, server)
    finally:
        listeners.close()


async def test_what_cannot_be_had_is_said(pod):
    taken = pod.listen(4, 15006)
    with pytest.raises(OSError, match="cannot listen on port 15006 in the pod"):
        Listeners.open(pod.namespace)
    taken.close()
    with pytest.raises(rules.RulesFailed, match="nsenter"):
        await rules.redirect(0, ipv6=False)
