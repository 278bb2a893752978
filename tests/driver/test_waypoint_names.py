"""A waypoint looks up the host names of the endpoints that it may have to call, and of no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest
import trio
import trio.testing

from mesh.address import IP, NetworkAddress
from mesh.snapshot import Drop, Put
from mesh.workload import Membership, Port, Service, Workload
from tests.waypoint_ends import BOUND, HERE
from waypoint.names import REFRESH, RETRY, Names
from waypoint.state import State

VIP = NetworkAddress("", ip_address("240.240.0.7"))
BANK = Service("bank", "shop", "bank.example.com", (VIP,), (Port(80, 8080),), waypoint=BOUND)
OTHER = replace(BANK, name="other", hostname="other.example.com", waypoint=None)


def endpoint(service: Service, hostname: str) -> Workload:
    return Workload(f"{service.name}/{hostname}", service.name, "shop", hostname=hostname,
                    services=(Membership(service.key),))  # fmt: skip


class Scene:
    """A waypoint's state, and a resolver that a test decides for."""

    def __init__(self) -> None:
        self.state = State()
        self.answers: dict[str, Sequence[str]] = {}
        self.asked: list[str] = []
        self.names = Names(HERE, lambda: self.state.snapshot, self._look_up)
        self.state.completed = self.names.filled
        self.names.changed = self.state.apply

    async def _look_up(self, hostname: str) -> Sequence[IP]:
        self.asked.append(hostname)
        if hostname not in self.answers:
            raise OSError("no such name")
        return [ip_address(text) for text in self.answers[hostname]]

    def told(self, *resources: Service | Workload) -> None:
        self.state.apply([Put(one) for one in resources])

    def addresses(self, workload: Workload) -> list[str]:
        return [str(ip) for ip in self.state.snapshot.workloads[workload.uid].addresses]


@pytest.fixture
async def scene(nursery) -> Scene:
    made = Scene()
    nursery.start_soon(made.names.run)
    return made


HOST = endpoint(BANK, "host.example.org")


async def test_names_behind_the_waypoint_are_looked_up_and_others_are_not(scene, autojump_clock):
    scene.answers = {"host.example.org": ["192.0.2.2", "240.240.0.7", "192.0.2.1"], "theirs.example.org": ["192.0.2.9"]}
    theirs = endpoint(OTHER, "theirs.example.org")
    scene.told(BANK, OTHER, HOST, theirs)
    await trio.sleep(1)
    assert scene.addresses(HOST) == ["192.0.2.1", "192.0.2.2"]  # not the service's own
    assert scene.addresses(theirs) == []
    assert scene.asked == ["host.example.org"]


async def test_names_are_looked_up_again_and_what_istiod_repeats_keeps_its_addresses(scene, autojump_clock):
    scene.answers = {"host.example.org": ["192.0.2.1"]}
    scene.told(BANK, HOST)
    await trio.sleep(1)
    scene.told(replace(HOST, capacity=3))
    assert scene.addresses(HOST) == ["192.0.2.1"]
    scene.answers = {"host.example.org": ["192.0.2.2"]}
    await trio.sleep(REFRESH + RETRY + 1)
    assert scene.addresses(HOST) == ["192.0.2.2"]
    assert scene.asked == ["host.example.org"] * 2


async def test_a_name_that_is_not_answered_any_more_keeps_its_addresses_and_is_tried_soon(scene, autojump_clock):
    scene.answers = {"host.example.org": ["192.0.2.1"]}
    scene.told(BANK, HOST)
    await trio.sleep(1)
    scene.answers = {}
    await trio.sleep(2 * REFRESH)
    assert scene.addresses(HOST) == ["192.0.2.1"]
    assert len(scene.asked) > 3
    scene.answers = {"host.example.org": ["192.0.2.3"]}
    await trio.sleep(2 * RETRY + 1)
    assert scene.addresses(HOST) == ["192.0.2.3"]


async def test_what_nobody_needs_any_more_is_not_asked_for(scene, autojump_clock):
    scene.told(BANK, HOST)
    await trio.sleep(1)
    scene.state.apply([Drop(Workload, HOST.uid)])
    await trio.sleep(1)
    before = len(scene.asked)
    await trio.sleep(3 * REFRESH)
    assert len(scene.asked) == before
