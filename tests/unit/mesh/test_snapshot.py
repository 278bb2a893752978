from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from mesh.address import NetworkAddress
from mesh.policy import Action, Policy, Scope
from mesh.snapshot import Drop, Put, Snapshot
from mesh.workload import (
    GatewayAddress,
    Membership,
    NamespacedHostname,
    Port,
    Service,
    TunnelProtocol,
    Workload,
    target_port,
)

POD_IP = ip_address("10.244.1.2")
VIP = ip_address("10.96.0.7")
CATALOG = Service(
    "catalog",
    "shop",
    "catalog.shop.svc.cluster.local",
    (NetworkAddress("", VIP),),
    (Port(80, 8080), Port(81)),
    canonical=True,
)
POD = Workload(
    "Kubernetes//Pod/shop/catalog-1",
    "catalog-1",
    "shop",
    addresses=(POD_IP,),
    services=(Membership(CATALOG.key, (Port(81, 9090),)),),
)


def test_look_ups_by_address_name_and_membership() -> None:
    snapshot = Snapshot.of([POD, CATALOG])
    assert snapshot.workload_at("", POD_IP) == POD
    assert snapshot.service_at("", VIP) == CATALOG
    assert snapshot.service_named("catalog.shop.svc.cluster.local") == CATALOG
    assert snapshot.endpoints(CATALOG.key) == (POD,)
    assert snapshot.workload_at("other-network", POD_IP) is None


def test_a_change_makes_the_next_snapshot_and_leaves_the_old_one() -> None:
    before = Snapshot.of([POD, CATALOG])
    after = before.apply([Put(replace(POD, healthy=False)), Drop(Service, CATALOG.key), Drop(Workload, "never-there")])
    assert before.endpoints(CATALOG.key) == (POD,)
    assert not after.workloads[POD.uid].healthy
    assert after.service_at("", VIP) is None


def test_of_two_claims_on_one_address_the_tunnelled_one_wins() -> None:
    rival = replace(POD, uid="a-rival")
    meshed = replace(POD, tunnel=TunnelProtocol.HBONE)
    assert Snapshot.of([rival, meshed]).workload_at("", POD_IP) == meshed


def test_a_pod_on_the_hosts_network_is_not_found_by_address() -> None:
    assert Snapshot.of([replace(POD, host_network=True)]).workload_at("", POD_IP) is None


def test_a_host_name_claimed_twice_prefers_ones_own_namespace_then_the_clusters_own() -> None:
    entry = replace(CATALOG, namespace="front", canonical=False)
    snapshot = Snapshot.of([CATALOG, entry])
    assert snapshot.service_named(CATALOG.hostname, "front") == entry
    assert snapshot.service_named(CATALOG.hostname, "elsewhere") == CATALOG


def test_nobody_takes_the_clusters_own_address_by_claiming_it() -> None:
    thief = replace(CATALOG, namespace="a-thief", hostname="a.thief", canonical=False)
    assert Snapshot.of([CATALOG, thief]).service_at("", VIP) == CATALOG


def test_the_policies_of_a_workload_are_mesh_wide_namespace_wide_and_named() -> None:
    def policy(name: str, namespace: str, scope: Scope) -> Policy:
        return Policy(name, namespace, scope, Action.DENY)

    wide = policy("wide", "istio-system", Scope.GLOBAL)
    own = policy("own", "shop", Scope.NAMESPACE)
    foreign = policy("foreign", "other", Scope.NAMESPACE)
    named = policy("named", "shop", Scope.WORKLOAD_SELECTOR)
    unnamed = policy("unnamed", "shop", Scope.WORKLOAD_SELECTOR)
    l7 = policy("l7", "shop", Scope.TARGET)
    pod = replace(POD, policies=("shop/named", "shop/not-there"))
    snapshot = Snapshot.of([pod, wide, own, foreign, named, unnamed, l7])
    assert snapshot.policies_for(pod) == (wide, own, named)


def test_a_gateway_address_leads_to_its_service_or_workload() -> None:
    snapshot = Snapshot.of([POD, CATALOG])
    by_name = GatewayAddress(NamespacedHostname("shop", CATALOG.hostname))
    assert snapshot.gateway(by_name) == CATALOG
    assert snapshot.gateway(GatewayAddress(NetworkAddress("", POD_IP))) == POD
    assert snapshot.gateway(GatewayAddress(NamespacedHostname("shop", "gone"))) is None


def test_the_target_port_is_the_endpoints_own_or_the_services() -> None:
    assert target_port(CATALOG, POD, 80) == 8080
    assert target_port(CATALOG, POD, 81) == 9090
    assert target_port(CATALOG, POD, 82) is None
    assert target_port(CATALOG, replace(POD, services=()), 81) is None
