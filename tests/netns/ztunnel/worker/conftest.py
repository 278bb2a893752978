"""Two captured pods, `web` and `db`, each with a real worker; the node's supervisor is inside the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from mesh.address import NetworkAddress
from mesh.workload import Membership, Port, Service
from tests.node_for_tests import Node
from tests.pods_for_tests import VIP, Pair, Pod, workload
from ztunnel.keeper import rules
from ztunnel.keeper.listeners import Listeners


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Where the supervisor's socket is: any user may come through, as workers with users of their own must."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o711)
        yield Path(made)


@pytest.fixture
async def pair(pod: Any, peer: Any, run_dir: Path) -> AsyncIterator[Pair]:
    node = Node(run_dir / "supervisor.sock")
    service = Service(
        "db", "shop", "db.shop.svc.cluster.local", (NetworkAddress("", ip_address(VIP)),), (Port(80, 8080),)
    )
    web = workload("web", pod.addresses)
    db = replace(workload("db", peer.addresses), services=(Membership(service.key),))
    node.know(web, db, service)
    nameservers = f"{peer.addresses[6]} {peer.addresses[4]}"
    opened = [Listeners.open(place.namespace) for place in (pod, peer)]
    try:
        async with node.open():
            workers = [
                node.start_worker(one.name, place.namespace, listeners, nameservers=nameservers)
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
