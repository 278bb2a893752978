"""Which of a service's endpoints a connection reaches, when some of them cannot be reached."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
import trio

from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, TextMatch, TextMatchKind
from mesh.refusal import Reason
from mesh.workload import Membership, Port
from tests.pods_for_tests import VIP, assert_refused, close, exchange
from tests.tunnel_ends import until

pytestmark = pytest.mark.netns

NOWHERE = "10.244.7.7"


def replica(pair, name, *, address=None, port=8080):
    """Another endpoint of db's service, in the same pod or at an address of its own."""
    membership = Membership(pair.service.key, (Port(80, port),))
    return replace(
        pair.db.workload,
        uid=f"Kubernetes//Pod/shop/{name}",
        name=name,
        services=(membership,),
        addresses=(ip_address(address or pair.db.address()),),
        host_network=address is None,
    )


async def served(pair, application, times):
    for _ in range(times):
        client = await pair.web.call(VIP, 80)
        server = await application.accept()
        await exchange(client, server)
        await close(client, server)


async def test_an_unreachable_endpoint_is_passed_over_and_nobody_notices(pair):
    pair.web.place.run("ip", "route", "add", "prohibit", NOWHERE)
    pair.node.know(replica(pair, "gone", address=NOWHERE))
    application = pair.db.listen(8080)
    await served(pair, application, 12)
    await until(lambda: len(pair.node.closed(outbound=True)) == 12)
    for record in pair.node.closed(outbound=True):
        assert record.refusal is None
        assert record.destination.workload.name == "db"


async def test_an_endpoint_whose_application_does_not_listen_is_passed_over(pair):
    """The other end reached nobody and says so with 503 before any byte was sent: another endpoint gets them all."""
    pair.node.know(replica(pair, "deaf", port=9))
    application = pair.db.listen(8080)
    await served(pair, application, 12)
    await until(lambda: len(pair.node.closed(outbound=True)) == 12)
    assert not [one.refusal for one in pair.node.closed(outbound=True) if one.refusal]
    failures = [one.refusal.reason for one in pair.node.closed(outbound=False) if one.refusal]
    assert set(failures) == {Reason.CONNECT_FAILED}
    assert len(failures) < 6, "it is left alone for a while once it has failed"


async def test_when_no_endpoint_is_reached_the_last_cause_is_told(pair):
    pair.web.place.run("ip", "route", "add", "prohibit", NOWHERE)
    pair.node.know(replica(pair, "gone", address=NOWHERE), replica(pair, "deaf", port=9))
    await assert_refused(pair.web, VIP, 80)
    record = await pair.told(outbound=True)
    assert record.refusal.reason in {Reason.CONNECT_FAILED, Reason.PEER_REFUSED}
    assert len(pair.node.closed(outbound=True)) == 1


async def test_a_caller_that_policy_turns_away_tries_no_other_door(pair):
    principal = TextMatch(TextMatchKind.EXACT, "cluster.local/ns/shop/sa/web")
    deny = Rule((Clause((Match(principals=(principal,)),)),))
    pair.node.know(
        replica(pair, "twin"),
        Policy("no-web", "shop", Scope.NAMESPACE, Action.DENY, (deny,)),
    )
    pair.db.listen(8080)
    await assert_refused(pair.web, VIP, 80)
    await pair.told(outbound=True)
    await pair.told(outbound=False)
    assert [one.refusal.reason for one in pair.node.closed(outbound=False)] == [Reason.POLICY_DENIED]


async def test_service_loadbalancing(pair):
    """Every endpoint gets its part of the connections that stay; how much depends on how fast each one answers."""
    pair.node.know(replica(pair, "second", port=8081))
    counts = [0, 0]
    async with trio.open_nursery() as nursery:

        async def count(number, port):
            listener = pair.db.listen(port)
            while True:
                kept.append(await listener.accept())
                counts[number] += 1

        kept = []
        nursery.start_soon(count, 0, 8080)
        nursery.start_soon(count, 1, 8081)
        for made in range(1, 21):
            kept.append(await pair.web.call(VIP, 80))
            await until(lambda made=made: sum(counts) == made)
        nursery.cancel_scope.cancel()
    assert sum(counts) == 20
    assert all(counts)


async def test_an_address_on_another_network_is_not_mistaken_for_one_here(pair):
    """And a service that has endpoints there alone refuses its callers in words: no gateway leads to it."""
    far = replace(replica(pair, "far", address=NOWHERE), network="far")
    pair.node.know(far, replace(pair.db.workload, services=()))
    await assert_refused(pair.web, VIP, 80)
    record = await pair.told(outbound=True)
    assert record.refusal.reason is Reason.UNREACHABLE_NETWORK
    assert "far" in record.refusal.detail
