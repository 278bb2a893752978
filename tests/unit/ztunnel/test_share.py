"""Which part of the snapshot a worker gets, and that it decides on the part as it would on the whole."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from mesh.address import Address, NetworkAddress
from mesh.policy import Action, Policy, Scope
from mesh.snapshot import Drop, Put, Snapshot, key_of
from mesh.workload import GatewayAddress, Membership, NamespacedHostname, Port, Service, TunnelProtocol, Workload
from ztunnel.plan import plan
from ztunnel.supervisor.share import NOTHING, difference, share
from ztunnel.supervisor.sight import Sight


def pod(name: str, ip: str, *services: str, **more: object) -> Workload:
    memberships = tuple(Membership(f"shop/{one}.shop.svc.cluster.local") for one in services)
    return Workload(
        name, name, "shop", addresses=(ip_address(ip),), tunnel=TunnelProtocol.HBONE, services=memberships, **more
    )


def service(name: str, vip: str, *ports: Port, **more: object) -> Service:
    hostname = f"{name}.shop.svc.cluster.local"
    return Service(name, "shop", hostname, (NetworkAddress("", ip_address(vip)),), ports or (Port(80, 8080),), **more)


AT_WAYPOINT = GatewayAddress(NamespacedHostname("shop", "waypoint.shop.svc.cluster.local"))
WEB = pod("web", "10.0.0.1", "web", policies=("shop/of-web",))
DB = pod("db", "10.0.0.2", "db", policies=("shop/of-db",))
DB_TOO = pod("db-too", "10.0.0.3", "db")
GUARDED = pod("guarded", "10.0.0.4", "guarded", waypoint=AT_WAYPOINT)
WAYPOINT = pod("waypoint", "10.0.0.9", "waypoint")
RESOURCES = (
    WEB, DB, DB_TOO, GUARDED, WAYPOINT,
    service("web", "10.96.0.1"), service("db", "10.96.0.2"), service("guarded", "10.96.0.4", waypoint=AT_WAYPOINT),
    service("waypoint", "10.96.0.9", Port(15008, 15008)),
    service("lost", "10.96.0.5", waypoint=GatewayAddress(NamespacedHostname("shop", "nowhere"))),
    Policy("all", "istio-system", Scope.GLOBAL, Action.DENY), Policy("shop", "shop", Scope.NAMESPACE, Action.DENY),
    Policy("of-web", "shop", Scope.WORKLOAD_SELECTOR, Action.DENY),
    Policy("of-db", "shop", Scope.WORKLOAD_SELECTOR, Action.DENY),
    Policy("far", "far", Scope.NAMESPACE, Action.DENY),
)  # fmt: skip
MESH = Snapshot.of(RESOURCES)
OWN = {"web", "shop/web.shop.svc.cluster.local", "istio-system/all", "shop/shop", "shop/of-web"}


def shared(*destinations: str, own: Workload | None = WEB) -> set[str]:
    return {key_of(one) for one in share(Sight(MESH, "own"), own, "", map(ip_address, destinations)).values()}


def test_for_itself_it_gets_its_workload_its_services_and_its_policies() -> None:
    assert shared() == OWN


@pytest.mark.parametrize(
    ("destination", "keys"),
    [
        ("10.96.0.2", {"shop/db.shop.svc.cluster.local", "db", "db-too"}),
        ("10.0.0.2", {"db"}),
        ("10.96.0.4", {"shop/guarded.shop.svc.cluster.local", "shop/waypoint.shop.svc.cluster.local", "waypoint"}),
        ("10.0.0.4", {"guarded", "shop/waypoint.shop.svc.cluster.local", "waypoint"}),
        ("10.96.0.5", {"shop/lost.shop.svc.cluster.local"}),
        ("192.0.2.1", set()),
    ],
)
def test_for_a_destination_it_gets_what_the_way_there_needs(destination: str, keys: set[str]) -> None:
    assert shared(destination) == OWN | keys


def test_the_waypoint_itself_gets_the_endpoints_behind_it() -> None:
    assert "guarded" in shared("10.96.0.4", own=WAYPOINT)


def test_a_pod_that_the_mesh_does_not_know_gets_no_policies() -> None:
    assert shared(own=None) == set()


@pytest.mark.parametrize("source", [WEB, DB, WAYPOINT], ids=lambda one: one.name)
@pytest.mark.parametrize(
    "destination", ["10.96.0.2", "10.0.0.2", "10.96.0.4", "10.0.0.4", "10.96.0.5", "10.96.0.9", "10.0.0.9", "192.0.2.1"]
)
def test_the_part_decides_as_the_whole_does(source: Workload, destination: str) -> None:
    part = Snapshot.of(share(Sight(MESH, "own"), source, "", (ip_address(destination),)).values())
    for port in (80, 8080, 15008):
        target = Address(ip_address(destination), port)
        assert plan(part, source, target, lambda: 0.7) == plan(MESH, source, target, lambda: 0.7)
    assert part.policies_for(source) == MESH.policies_for(source)


def test_the_difference_leads_from_one_part_to_the_other() -> None:
    before = share(Sight(MESH, WEB.uid), WEB, "", (ip_address("10.96.0.2"),))
    after_all = MESH.apply([Put(replace(DB, healthy=False)), Drop(Workload, "db-too")])
    after = share(Sight(after_all, WEB.uid), WEB, "", (ip_address("10.96.0.2"),))
    assert set(difference(before, after)) == {Drop(Workload, "db-too"), Put(replace(DB, healthy=False))}
    assert Snapshot.of(before.values()).apply(difference(before, after)) == Snapshot.of(after.values())
    assert difference(after, after) == ()
    assert Snapshot().apply(difference(NOTHING, before)) == Snapshot.of(before.values())
