"""Where a captured connection goes. The names of the cases are those of ztunnel's own build_request tests."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from mesh.address import Address, NetworkAddress
from mesh.health import Health
from mesh.identity import Identity
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.workload import (
    Balancing,
    BalancingMode,
    GatewayAddress,
    LocalityScope,
    Membership,
    NamespacedHostname,
    Port,
    Service,
    TunnelProtocol,
    Workload,
)
from ztunnel.plan import Plan, Transport, Unresolved, Ways, plan, ways


def at(text: str) -> Address:
    return Address.parse(text)


def pod(name: str, ip: str, **more: object) -> Workload:
    fields: dict[str, object] = {
        "uid": f"Kubernetes//Pod/shop/{name}",
        "name": name,
        "namespace": "shop",
        "service_account": name,
        "addresses": (ip_address(ip),),
        "tunnel": TunnelProtocol.HBONE,
        "node": "node-1",
    }
    return Workload(**(fields | more))  # type: ignore[arg-type]


def service(name: str, vip: str, **more: object) -> Service:
    fields: dict[str, object] = {
        "name": name,
        "namespace": "shop",
        "hostname": f"{name}.shop.svc.cluster.local",
        "addresses": (NetworkAddress("", ip_address(vip)),),
        "ports": (Port(80, 8080),),
    }
    return Service(**(fields | more))  # type: ignore[arg-type]


def member(of: str, *ports: Port) -> Membership:
    return Membership(f"shop/{of}.shop.svc.cluster.local", ports)


WEB = pod("web", "10.0.0.1")
API = pod(
    "api", "10.0.0.3", addresses=(), hostname="api.example.com", tunnel=TunnelProtocol.NONE, services=(member("api"),)
)
WAYPOINT_AT = GatewayAddress(NamespacedHostname("shop", "waypoint.shop.svc.cluster.local"))
WAYPOINT_SERVICE = service("waypoint", "10.96.0.9", ports=(Port(15008, 15008),))
WAYPOINT_POD = pod("waypoint", "10.0.0.9", tunnel=TunnelProtocol.NONE, services=(member("waypoint"),))


def decide(
    destination: str, *resources: Workload | Service, source: Workload = WEB, roll: float = 0.0
) -> Plan | Unresolved | Refusal:
    return plan(Snapshot.of((source, *resources)), source, at(destination), lambda: roll)


def planned(destination: str, *resources: Workload | Service, source: Workload = WEB, roll: float = 0.0) -> Plan:
    found = decide(destination, *resources, source=source, roll=roll)
    assert isinstance(found, Plan), found
    return found


def refused(destination: str, *resources: Workload | Service, source: Workload = WEB) -> Refusal:
    found = decide(destination, *resources, source=source)
    assert isinstance(found, Refusal), found
    return found


class TestAddresses:
    def test_unknown_dest(self) -> None:
        found = planned("192.0.2.7:443")
        assert (found.transport, found.connect_to) == (Transport.TCP, at("192.0.2.7:443"))

    def test_wrong_network(self) -> None:
        """The same address in another network is another thing, and unknown here."""
        found = planned("10.0.0.2:80", pod("db", "10.0.0.2", network="far"))
        assert found.transport is Transport.TCP

    @pytest.mark.parametrize("node", ["node-1", "node-2"])
    def test_known_dest_hbone(self, node: str) -> None:
        found = planned("10.0.0.2:8080", pod("db", "10.0.0.2", node=node))
        assert found.transport is Transport.HBONE
        assert found.connect_to == at("10.0.0.2:15008")
        assert found.authority == "10.0.0.2:8080"
        assert found.accepts == {Identity("cluster.local", "shop", "db")}

    @pytest.mark.parametrize("protocol", [TunnelProtocol.NONE, TunnelProtocol.LEGACY_ISTIO_MTLS])
    def test_known_dest_tcp(self, protocol: TunnelProtocol) -> None:
        found = planned("10.0.0.2:8080", pod("db", "10.0.0.2", tunnel=protocol))
        assert (found.transport, found.connect_to) == (Transport.TCP, at("10.0.0.2:8080"))

    def test_ipv6(self) -> None:
        found = planned("[fd00::2]:8080", pod("db", "fd00::2"))
        assert (found.connect_to, found.authority) == (at("[fd00::2]:15008"), "[fd00::2]:8080")

    def test_host_network(self) -> None:
        """A pod on the host's network is not found by the node's address, for others share it."""
        found = planned("10.0.0.2:8080", pod("agent", "10.0.0.2", host_network=True))
        assert found.workload is None

    @pytest.mark.parametrize("port", [15001, 15006, 15008])
    @pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[::1]"])
    def test_self_call(self, host: str, port: int) -> None:
        assert refused(f"{host}:{port}").reason is Reason.SELF_CALL


class TestServices:
    def test_target_port(self) -> None:
        found = planned("10.96.0.2:80", service("db", "10.96.0.2"), pod("db", "10.0.0.2", services=(member("db"),)))
        assert (found.connect_to, found.authority) == (at("10.0.0.2:15008"), "10.0.0.2:8080")
        assert found.service is not None

    def test_target_port_of_the_endpoint_wins(self) -> None:
        db = pod("db", "10.0.0.2", services=(member("db", Port(80, 9090)),))
        assert planned("10.96.0.2:80", service("db", "10.96.0.2"), db).authority == "10.0.0.2:9090"

    def test_empty_service(self) -> None:
        assert refused("10.96.0.2:80", service("db", "10.96.0.2")).reason is Reason.NO_HEALTHY_ENDPOINT

    def test_an_endpoint_that_is_only_a_name_waits_for_its_address(self) -> None:
        found = ways(Snapshot.of((WEB, service("api", "10.96.0.3"), API)), WEB, at("10.96.0.3:80"))
        assert isinstance(found, Ways)
        named = found.pick(lambda: 0.0)
        assert isinstance(named, Unresolved)
        assert (named.workload.hostname, named.endpoint) == ("api.example.com", API.uid)
        ips = [ip_address(text) for text in ("fd00::1", "10.96.0.3", "192.0.2.1", "192.0.2.2")]
        one, other = named.at(ips, lambda: 0.0), named.at(ips, lambda: 0.99)
        assert isinstance(one, Plan)
        assert isinstance(other, Plan)
        assert (one.transport, one.connect_to, one.endpoint) == (Transport.TCP, at("192.0.2.1:8080"), API.uid)
        assert other.connect_to == at("192.0.2.2:8080")
        only = named.at(ips[:2], lambda: 0.0)
        assert isinstance(only, Plan)
        assert only.connect_to == at("[fd00::1]:8080")

    @pytest.mark.parametrize("ips", [[], ["10.96.0.3"]])
    def test_a_name_that_leads_back_to_the_service_leads_nowhere(self, ips: list[str]) -> None:
        named = Unresolved(API, at("10.96.0.3:80"), 8080, service("api", "10.96.0.3"))
        refusal = named.at([ip_address(text) for text in ips], lambda: 0.0)
        assert isinstance(refusal, Refusal)
        assert "no other address than its own is known of api.example.com" in refusal.detail

    def test_a_name_is_passed_over_when_it_was_tried(self) -> None:
        db = pod("db", "10.0.0.2", services=(member("api"),))
        found = ways(Snapshot.of((WEB, service("api", "10.96.0.3"), API, db)), WEB, at("10.96.0.3:80"))
        assert isinstance(found, Ways)
        planned = found.pick(lambda: 0.0, tried={API.uid})
        assert isinstance(planned, Plan)
        assert planned.endpoint == db.uid

    def test_unhealthy_endpoint(self) -> None:
        db = pod("db", "10.0.0.2", services=(member("db"),), healthy=False)
        assert refused("10.96.0.2:80", service("db", "10.96.0.2"), db).reason is Reason.NO_HEALTHY_ENDPOINT

    def test_unknown_port(self) -> None:
        db = pod("db", "10.0.0.2", services=(member("db"),))
        assert refused("10.96.0.2:81", service("db", "10.96.0.2"), db).reason is Reason.UNKNOWN_PORT

    def test_endpoint_without_the_port_is_not_chosen(self) -> None:
        named = service("db", "10.96.0.2", ports=(Port(80, 0),))
        without = pod("a", "10.0.0.2", services=(member("db"),))
        with_port = pod("b", "10.0.0.3", services=(member("db", Port(80, 8081)),))
        for roll in (0.0, 0.99):
            assert planned("10.96.0.2:80", named, without, with_port, roll=roll).authority == "10.0.0.3:8081"

    def test_failover_to_remote(self) -> None:
        """An endpoint that would need another network's gateway is refused in words, not tried."""
        far = pod("db", "10.0.0.2", network="far", services=(member("db"),))
        assert refused("10.96.0.2:80", service("db", "10.96.0.2"), far).reason is Reason.UNREACHABLE_NETWORK

    def test_local_network_is_used_when_there_is_a_choice(self) -> None:
        far = pod("a", "10.0.0.2", network="far", services=(member("db"),))
        near = pod("b", "10.0.0.3", services=(member("db"),))
        assert planned("10.96.0.2:80", service("db", "10.96.0.2"), far, near).authority == "10.0.0.3:8080"

    def test_passthrough_svc(self) -> None:
        open_ = service("any", "203.0.113.1", balancing=Balancing(mode=BalancingMode.PASSTHROUGH, unhealthy_too=True))
        found = planned("203.0.113.1:443", open_)
        assert (found.transport, found.connect_to) == (Transport.TCP, at("203.0.113.1:443"))

    def test_strict_locality(self) -> None:
        balancing = Balancing((LocalityScope.NODE,), BalancingMode.STRICT)
        front = service("db", "10.96.0.2", balancing=balancing)
        far = pod("a", "10.0.0.2", node="node-2", services=(member("db"),))
        assert refused("10.96.0.2:80", front, far).reason is Reason.NO_HEALTHY_ENDPOINT
        near = pod("b", "10.0.0.3", services=(member("db"),))
        assert planned("10.96.0.2:80", front, far, near).authority == "10.0.0.3:8080"

    def test_service_names_are_accepted_beside_the_pod(self) -> None:
        names = ("spiffe://cluster.local/ns/shop/sa/other", "not an identity")
        front = service("db", "10.96.0.2", subject_alt_names=names)
        found = planned("10.96.0.2:80", front, pod("db", "10.0.0.2", services=(member("db"),)))
        assert {one.service_account for one in found.accepts} == {"db", "other"}

    def test_family_of_the_caller_is_kept(self) -> None:
        both = (ip_address("fd00::2"), ip_address("10.0.0.2"))
        db = pod("db", "10.0.0.2", addresses=both, services=(member("db"),))
        assert planned("10.96.0.2:80", service("db", "10.96.0.2"), db).authority == "10.0.0.2:8080"

    def test_ways_are_kept_and_each_connection_chooses_among_them(self) -> None:
        one, two = (pod(name, ip, services=(member("db"),)) for name, ip in (("a", "10.0.0.2"), ("b", "10.0.0.3")))
        found = ways(Snapshot.of((WEB, service("db", "10.96.0.2"), one, two)), WEB, at("10.96.0.2:80"))
        assert isinstance(found, Ways)
        health = Health()
        assert [self.endpoint(found, health, roll) for roll in (0.0, 0.99)] == ["a", "b"]
        health.failed(one.uid, 10.0)
        assert self.endpoint(found, health, 0.0) == "b"
        last = found.pick(lambda: 0.0, health, 10.5, {one.uid, two.uid})
        assert isinstance(last, Refusal)
        assert last.reason is Reason.NO_HEALTHY_ENDPOINT

    def endpoint(self, found: Ways, health: Health, roll: float) -> str:
        chosen = found.pick(lambda: roll, health, 10.5)
        assert isinstance(chosen, Plan)
        return chosen.endpoint.rpartition("/")[2]

    def test_prefer_same_node_spreads_when_the_node_has_none(self) -> None:
        scopes = (LocalityScope.NETWORK, LocalityScope.REGION, LocalityScope.ZONE, LocalityScope.SUBZONE)
        balancing = Balancing((*scopes, LocalityScope.NODE), BalancingMode.FAILOVER)
        front = service("db", "10.96.0.2", balancing=balancing)
        here = pod("a", "10.0.0.2", services=(member("db"),))
        there = pod("b", "10.0.0.3", node="node-2", services=(member("db"),))
        for roll in (0.0, 0.99):
            assert planned("10.96.0.2:80", front, here, there, roll=roll).authority == "10.0.0.2:8080"
            sick = replace(here, healthy=False)
            assert planned("10.96.0.2:80", front, sick, there, roll=roll).authority == "10.0.0.3:8080"


class TestWaypoints:
    FRONT = service("db", "10.96.0.2", waypoint=WAYPOINT_AT)
    DB = pod("db", "10.0.0.2", services=(member("db"),))

    def test_destination_svc_waypoint(self) -> None:
        found = planned("10.96.0.2:80", self.FRONT, self.DB, WAYPOINT_SERVICE, WAYPOINT_POD)
        assert found.waypoint
        assert (found.connect_to, found.authority) == (at("10.0.0.9:15008"), "10.96.0.2:80")
        assert found.accepts == {Identity("cluster.local", "shop", "waypoint")}

    def test_destination_waypoint(self) -> None:
        db = pod("db", "10.0.0.2", waypoint=WAYPOINT_AT)
        found = planned("10.0.0.2:8080", db, WAYPOINT_SERVICE, WAYPOINT_POD)
        assert (found.connect_to, found.authority) == (at("10.0.0.9:15008"), "10.0.0.2:8080")

    def test_destination_waypoint_by_address(self) -> None:
        by_address = GatewayAddress(NetworkAddress("", IPv4Address("10.0.0.9")))
        db = pod("db", "10.0.0.2", waypoint=by_address)
        found = planned("10.0.0.2:8080", db, replace(WAYPOINT_POD, services=()))
        assert (found.connect_to, found.waypoint) == (at("10.0.0.9:15008"), True)

    def test_workload_waypoint_is_not_passed_when_a_service_was_called(self) -> None:
        db = pod("db", "10.0.0.2", services=(member("db"),), waypoint=WAYPOINT_AT)
        found = planned("10.96.0.2:80", service("db", "10.96.0.2"), db, WAYPOINT_SERVICE, WAYPOINT_POD)
        assert not found.waypoint

    def test_source_waypoint(self) -> None:
        """What comes out of the waypoint goes to the endpoint, not round in a circle."""
        found = planned("10.96.0.2:80", self.FRONT, self.DB, WAYPOINT_SERVICE, source=WAYPOINT_POD)
        assert found.connect_to == at("10.0.0.2:15008")

    @pytest.mark.parametrize(
        "known",
        [
            pytest.param((), id="no such service"),
            pytest.param((WAYPOINT_SERVICE,), id="no endpoint"),
            pytest.param((WAYPOINT_SERVICE, replace(WAYPOINT_POD, healthy=False)), id="none ready"),
            pytest.param((WAYPOINT_SERVICE, replace(WAYPOINT_POD, network="far")), id="on another network"),
            pytest.param((replace(WAYPOINT_SERVICE, ports=()), WAYPOINT_POD), id="without the port"),
        ],
    )
    @pytest.mark.parametrize("destination", ["10.96.0.2:80", "10.0.0.2:8080"])
    def test_missing_waypoint_is_refused_not_bypassed(
        self, destination: str, known: tuple[Workload | Service, ...]
    ) -> None:
        db = replace(self.DB, waypoint=WAYPOINT_AT)
        found = refused(destination, self.FRONT, db, *known)
        assert found.reason is Reason.NO_HEALTHY_WAYPOINT
        assert "shop/waypoint.shop.svc.cluster.local" in found.detail
