"""Two captured pods, `web` and `db`, each with a real worker; the node's supervisor is inside the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from mesh.address import NetworkAddress
from mesh.workload import Membership, Port, Service
from tests.node_for_tests import Node
from tests.pods_for_tests import VIP, Pair, Pod, workload
from ztunnel.keeper import rules
from ztunnel.keeper.listeners import Listeners


@pytest.fixture
async def pair(pod: Any, peer: Any, tmp_path: Any) -> AsyncIterator[Pair]:
    node = Node(tmp_path / "supervisor.sock")
    service = Service(
        "db", "shop", "db.shop.svc.cluster.local", (NetworkAddress("", ip_address(VIP)),), (Port(80, 8080),)
    )
    web = workload("web", pod.addresses)
    db = replace(workload("db", peer.addresses), services=(Membership(service.key),))
    node.know(web, db, service)
    opened = [Listeners.open(place.namespace) for place in (pod, peer)]
    try:
        async with node.open():
            workers = [
                node.start_worker(one.name, place.namespace, listeners)
                for one, place, listeners in zip((web, db), (pod, peer), opened, strict=True)
            ]
            for worker, place in zip(workers, (pod, peer), strict=True):
                await worker.serving()
                await rules.redirect(place.namespace, ipv6=True)
            yield Pair(node, Pod(pod, web, opened[0], workers[0]), Pod(peer, db, opened[1], workers[1]), service)
    finally:
        node.end()
        for listeners in opened:
            listeners.close()
