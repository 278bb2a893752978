"""Who gets in to a captured pod: policies, proven and unproven callers, and those who try their luck."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import pytest
import trio

from mesh.identity import Identity
from mesh.net.tls import ClientTls
from mesh.net.tunnel import DialFailed, Rejected, Stream, Tunnel
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, TextMatch, TextMatchKind
from mesh.refusal import Reason
from mesh.snapshot import Drop
from mesh.workload import Membership, Port
from tests.pki_for_tests import authority, credentials
from tests.pods_for_tests import assert_refused, assert_reset, assert_soon_refused, assert_soon_served, exchange
from tests.tunnel_ends import running_relay, until
from ztunnel.keeper import rules

pytestmark = pytest.mark.netns

CART = Identity("cluster.local", "shop", "cart")
DB = Identity("cluster.local", "shop", "db")
STRICT = Policy(
    "istio_converted_static_strict",
    "istio-system",
    Scope.GLOBAL,
    Action.DENY,
    (Rule((Clause((Match(not_principals=(TextMatch(TextMatchKind.PRESENCE),)),)),)),),
)


def about(name: str, action: Action, account: str) -> Policy:
    principal = TextMatch(TextMatchKind.EXACT, f"cluster.local/ns/shop/sa/{account}")
    return Policy(name, "shop", Scope.NAMESPACE, action, (Rule((Clause((Match(principals=(principal,)),)),)),))


async def test_policy_deny(pair):
    pair.node.know(about("no-web", Action.DENY, "web"))
    pair.db.listen(8080)
    await assert_soon_refused(pair.web, pair.db.address(), 8080)
    await until(lambda: any(one.refusal for one in pair.node.closed(outbound=False)))
    refused = next(one for one in pair.node.closed(outbound=False) if one.refusal)
    assert refused.refusal.reason is Reason.POLICY_DENIED
    assert refused.flag == "DENY"
    assert "shop/no-web" in refused.refusal.detail


async def test_policy_allow(pair):
    pair.node.know(about("only-web", Action.ALLOW, "web"))
    application = pair.db.listen(8080)
    await assert_soon_served(pair.web, pair.db.address(), 8080, application)
    pair.node.know(about("only-web", Action.ALLOW, "cart"))
    await assert_soon_refused(pair.web, pair.db.address(), 8080)


async def test_policy_change_ends_what_is_denied_now_and_nothing_else(pair):
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    pair.node.know(about("no-cart", Action.DENY, "cart"))
    await exchange(client, server)
    pair.node.know(about("no-web", Action.DENY, "web"))
    await assert_reset(client)
    await assert_reset(server)
    record = await pair.told(outbound=False)
    assert record.refusal.reason is Reason.POLICY_DENIED
    assert "policies changed" in record.refusal.detail
    assert (record.sent, record.received) == (4, 4)


async def test_strict_refuses_plaintext(pair):
    pair.node.know(STRICT)
    await rules.remove(pair.web.place.namespace, ipv6=True)
    pair.db.listen(8080)
    await assert_soon_refused(pair.web, pair.db.address(), 8080)
    record = await pair.told(outbound=False)
    assert (record.refusal.reason, record.source.identity) == (Reason.POLICY_DENIED, None)
    pair.node.know(gone=[Drop(Policy, STRICT.key)])


async def test_strict_lets_proven_callers_in(pair):
    pair.node.know(STRICT)
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    await exchange(client, await application.accept())


@pytest.mark.parametrize("port", [15001, 15006, 15008])
async def test_malicious_calls_inpod(pair, port):
    """A pod's process that calls the proxies' own ports, its own or another pod's, gets nowhere."""
    for address in (pair.web.address(), pair.db.address(), "127.0.0.1"):
        with trio.fail_after(10), suppress(ConnectionResetError, trio.BrokenResourceError):
            stream = await pair.web.call(address, port)
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            while await stream.receive_some(1024):
                pass
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    await exchange(client, await application.accept())


class Peer:
    """Somebody on the network who speaks HBONE, in web's namespace but without its worker."""

    def __init__(self, pair, identity=CART, root=None):
        self.pair = pair
        self.tls = ClientTls(replace(credentials(identity, root=root), roots_pem=authority().certificate_pem))

    async def ask(self, relay, authority: str):
        sock = self.pair.web.place.make_socket(4, mark=0x539)
        sock.connect((self.pair.db.address(), 15008))
        sock.setblocking(False)
        tunnel = await Tunnel.over(relay, sock.dup(), self.tls, frozenset({DB}))
        return await tunnel.connect(authority)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param("10.244.1.77:8080", 400, id="hbone_ip_mismatch"),
        pytest.param("not an authority", 400, id="no authority"),
        pytest.param("10.244.1.1:15006", 503, id="the proxy's own port"),
        pytest.param("other.shop.svc.cluster.local:80", 503, id="somebody else's service"),
        pytest.param("10.244.1.1:9", 503, id="nobody listens"),
    ],
)
async def test_hbone_requests_that_are_refused(pair, asked, status):
    async with running_relay() as relay:
        answer = await Peer(pair).ask(relay, asked)
        assert isinstance(answer, Rejected)
        assert answer.status == status


@pytest.mark.parametrize("named", [False, True], ids=["test_svc_hostname_port", "test_svc_hostname_named_port"])
async def test_svc_hostname_port(pair, named):
    """A named target port differs from pod to pod: the endpoint's own list says which it is."""
    if named:
        service = replace(pair.service, ports=(Port(80, 0),))
        pair.node.know(service, replace(pair.db.workload, services=(Membership(service.key, (Port(80, 8080),)),)))
    application = pair.db.listen(8080)
    async with running_relay() as relay:
        answer = await Peer(pair).ask(relay, "db.shop.svc.cluster.local:80")
        assert isinstance(answer, Stream)
        stream = answer.open()
        await exchange(stream, await application.accept())


async def test_trust_domain_mismatch_rejected(pair):
    stranger = Identity("elsewhere.example", "shop", "web")
    async with running_relay() as relay:
        with pytest.raises(DialFailed):
            await Peer(pair, stranger).ask(relay, "10.244.1.1:8080")
    assert (await pair.told(outbound=False)).refusal.reason is Reason.WRONG_TRUST_DOMAIN


async def test_a_certificate_of_another_root_is_refused(pair):
    async with running_relay() as relay:
        with pytest.raises(DialFailed):
            await Peer(pair, root=authority("another root")).ask(relay, "10.244.1.1:8080")
    assert (await pair.told(outbound=False)).refusal.reason is Reason.TLS_FAILED


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\xff\xff" + b"x" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, b""])
async def test_garbage_on_15008_gives_one_line(pair, garbage):
    stream = await pair.web.call(pair.db.address(), 15008, mark=0x539)
    await stream.send_all(garbage)
    await stream.send_eof()
    record = await pair.told(outbound=False)
    assert record.refusal.reason is Reason.TLS_FAILED
    assert record.source.address.ip in pair.web.workload.addresses
    assert len(pair.node.records) == 1
    assert re.search("TLS", record.refusal.detail)


async def test_destination_of_wrong_identity_is_refused(pair):
    """Somebody sits at db's address with a certificate of his own: the caller notices before it says anything."""
    impostor = replace(pair.db.workload, service_account="somebody-else")
    pair.node.know(impostor)
    pair.db.listen(8080)
    await assert_refused(pair.web, pair.db.address(), 8080)
    record = await pair.told(outbound=True)
    assert record.refusal.reason is Reason.WRONG_IDENTITY
