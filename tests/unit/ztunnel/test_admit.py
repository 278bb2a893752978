"""Whether an arriving connection may go on, and to which port of the pod."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mesh.address import Address, NetworkAddress
from mesh.identity import Identity
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, TextMatch, TextMatchKind
from mesh.proxy_protocol import ProxyHeader
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.workload import ApplicationTunnel, Membership, Port, Service, TunnelProtocol, Workload
from ztunnel.admit import Admission, Arrival, admit

WEB = Identity("cluster.local", "shop", "web")
SERVICE = Service("db", "shop", "db.shop.svc.cluster.local", ports=(Port(80, 8080), Port(81, 0), Port(82, 0)))
FOREIGN = Service("other", "shop", "other.shop.svc.cluster.local", ports=(Port(80, 8080),))
OWN = Workload(
    "Kubernetes//Pod/shop/db",
    "db",
    "shop",
    addresses=(ip_address("10.0.0.2"),),
    tunnel=TunnelProtocol.HBONE,
    services=(Membership(SERVICE.key, (Port(81, 9090),)),),
    policies=("shop/named",),
)


def arrival(authority: str | None, peer: Identity | None = WEB, to: str = "10.0.0.2:15008") -> Arrival:
    return Arrival(peer, ip_address("10.0.0.1"), Address.parse(to), authority)


def decide(arrived: Arrival, *policies: Policy) -> Admission | Refusal:
    return admit(Snapshot.of((OWN, SERVICE, FOREIGN, *policies)), OWN, arrived)


def policy(
    name: str, action: Action, *matches: Match, scope: Scope = Scope.NAMESPACE, namespace: str = "shop"
) -> Policy:
    return Policy(name, namespace, scope, action, (Rule((Clause(matches),)),))


def caller(account: str) -> Match:
    principal = f"cluster.local/ns/shop/sa/{account}"
    return Match(principals=(TextMatch(TextMatchKind.EXACT, principal),))


STRICT = policy(
    "istio_converted_static_strict", Action.DENY,
    Match(not_principals=(TextMatch(TextMatchKind.PRESENCE),)),
    scope=Scope.GLOBAL, namespace="istio-system",
)  # fmt: skip


class TestDestination:
    @pytest.mark.parametrize(
        ("authority", "upstream"),
        [
            ("10.0.0.2:8080", "10.0.0.2:8080"),
            ("10.0.0.2:1", "10.0.0.2:1"),
            ("db.shop.svc.cluster.local:80", "10.0.0.2:8080"),
            ("DB.shop.svc.cluster.local:80", "10.0.0.2:8080"),
            ("db.shop.svc.cluster.local:81", "10.0.0.2:9090"),
        ],
    )
    def test_find_inbound_upstream(self, authority: str, upstream: str) -> None:
        found = decide(arrival(authority))
        assert isinstance(found, Admission)
        assert found.upstream == Address.parse(upstream)

    @pytest.mark.parametrize(
        ("authority", "reason", "status"),
        [
            ("10.0.0.3:8080", Reason.ADDRESS_MISMATCH, 400),
            ("[fd00::2]:8080", Reason.ADDRESS_MISMATCH, 400),
            ("db.shop.svc.cluster.local", Reason.BAD_REQUEST, 400),
            ("web@10.0.0.2:8080", Reason.BAD_REQUEST, 400),
            ("10.0.0.2:99999", Reason.BAD_REQUEST, 400),
            ("", Reason.BAD_REQUEST, 400),
            ("nowhere.shop.svc.cluster.local:80", Reason.UNKNOWN_DESTINATION, 503),
            ("other.shop.svc.cluster.local:80", Reason.UNKNOWN_DESTINATION, 503),
            ("db.shop.svc.cluster.local:82", Reason.UNKNOWN_PORT, 503),
            ("db.shop.svc.cluster.local:83", Reason.UNKNOWN_PORT, 503),
            ("10.0.0.2:15001", Reason.SELF_CALL, 503),
            ("10.0.0.2:15006", Reason.SELF_CALL, 503),
            ("10.0.0.2:15008", Reason.SELF_CALL, 503),
        ],
    )
    def test_refused(self, authority: str, reason: Reason, status: int) -> None:
        found = decide(arrival(authority))
        assert isinstance(found, Refusal)
        assert (found.reason, found.reason.status) == (reason, status)

    def test_plaintext_goes_where_it_was_bound(self) -> None:
        found = decide(arrival(None, peer=None, to="10.0.0.2:8080"))
        assert isinstance(found, Admission)
        assert found.upstream == Address.parse("10.0.0.2:8080")

    def test_plaintext_to_a_listener_of_the_proxy(self) -> None:
        found = decide(arrival(None, peer=None, to="10.0.0.2:15006"))
        assert isinstance(found, Refusal)
        assert found.reason is Reason.SELF_CALL


class TestApplicationTunnel:
    """The pod is a proxy itself (a sandwiched waypoint): all calls go to one port of it, whatever they are for."""

    PROXY = replace(OWN, application_tunnel=ApplicationTunnel(proxy_protocol=True, port=15088))
    PLAIN = replace(OWN, application_tunnel=ApplicationTunnel(proxy_protocol=False, port=8000))
    VIPS = (NetworkAddress("far", ip_address("10.9.0.1")), NetworkAddress("", ip_address("fd00::9")),
            NetworkAddress("", ip_address("10.96.0.9")))  # fmt: skip

    def decide(
        self, own: Workload, authority: str | None, to: str = "10.0.0.2:15008", *known: Policy
    ) -> Admission | Refusal:
        peer = WEB if authority is not None else None
        arrived = Arrival(peer, ip_address("10.0.0.1"), Address.parse(to), authority, source_port=4000)
        return admit(Snapshot.of((own, SERVICE, replace(FOREIGN, addresses=self.VIPS), *known)), own, arrived)

    @pytest.mark.parametrize(
        ("authority", "called"),
        [
            ("10.96.0.9:80", "10.96.0.9:80"),
            ("[fd00::7]:1", "[fd00::7]:1"),
            ("other.shop.svc.cluster.local:80", "10.96.0.9:80"),
        ],
    )
    def test_it_is_told_who_calls_whom(self, authority: str, called: str) -> None:
        found = self.decide(self.PROXY, authority)
        assert isinstance(found, Admission)
        assert found.upstream == Address.parse("127.0.0.1:15088")
        assert found.header == ProxyHeader(Address.parse("10.0.0.1:4000"), Address.parse(called), WEB)

    def test_on_the_loopback_of_the_family_it_came_by(self) -> None:
        found = self.decide(self.PROXY, "10.96.0.9:80", "[fd00::2]:15008")
        assert isinstance(found, Admission)
        assert found.upstream == Address.parse("[::1]:15088")

    def test_without_proxy_protocol_only_the_port_is_another(self) -> None:
        found = self.decide(self.PLAIN, "10.96.0.9:80")
        assert isinstance(found, Admission)
        assert (found.upstream, found.header) == (Address.parse("10.0.0.2:8000"), None)

    def test_policies_judge_the_pods_own_address(self) -> None:
        there = Match(destination_ips=(ip_network("10.0.0.2/32"),), destination_ports=(15088,))
        found = self.decide(self.PROXY, "10.96.0.9:80", "10.0.0.2:15008", policy("nobody", Action.DENY, there))
        assert isinstance(found, Refusal)
        assert found.reason is Reason.POLICY_DENIED

    def test_nobody_else_gets_to_write_the_header(self) -> None:
        found = self.decide(self.PROXY, None, "10.0.0.2:15088")
        assert isinstance(found, Refusal)
        assert isinstance(self.decide(self.PROXY, None, "10.0.0.2:8080"), Admission)

    def test_a_name_without_an_address_cannot_be_told(self) -> None:
        found = self.decide(self.PROXY, "nowhere.example:80")
        assert isinstance(found, Refusal)
        assert found.reason is Reason.UNKNOWN_DESTINATION


class TestService:
    @pytest.mark.parametrize(
        ("host", "key"),
        [("db.shop.svc.cluster.local", SERVICE.key), ("other.shop.svc.cluster.local", None), ("", None)],
    )
    def test_the_service_that_the_caller_says_it_called(self, host: str, key: str | None) -> None:
        """It counts for telemetry, and only if it can be true."""
        told = Arrival(WEB, ip_address("10.0.0.1"), Address.parse("10.0.0.2:15008"), "10.0.0.2:8080", host)
        found = decide(told)
        assert isinstance(found, Admission)
        assert (found.service.key if found.service else None) == key


class TestPolicies:
    def test_denied(self) -> None:
        found = decide(arrival("10.0.0.2:8080"), policy("no-web", Action.DENY, caller("web")))
        assert isinstance(found, Refusal)
        assert (found.reason.status, found.reason.flag) == (401, "DENY")
        assert "shop/no-web" in found.detail

    def test_allow_for_another_denies_the_rest(self) -> None:
        found = decide(arrival("10.0.0.2:8080"), policy("only-cart", Action.ALLOW, caller("cart")))
        assert isinstance(found, Refusal)
        assert "shop/only-cart" in found.detail

    def test_allowed_names_the_policy(self) -> None:
        found = decide(arrival("10.0.0.2:8080"), policy("web", Action.ALLOW, caller("web")))
        assert isinstance(found, Admission)
        assert found.verdict.policy == "shop/web"

    def test_policies_see_the_port_of_the_application(self) -> None:
        denied = policy("no-9090", Action.DENY, Match(destination_ports=(9090,)))
        assert isinstance(decide(arrival("db.shop.svc.cluster.local:80"), denied), Admission)
        assert isinstance(decide(arrival("db.shop.svc.cluster.local:81"), denied), Refusal)

    def test_policies_see_the_address_of_the_caller(self) -> None:
        denied = policy("no-lan", Action.DENY, Match(source_ips=(ip_network("10.0.0.0/30"),)))
        assert isinstance(decide(arrival("10.0.0.2:8080"), denied), Refusal)

    def test_a_selecting_policy_counts_only_if_the_pod_names_it(self) -> None:
        named = policy("named", Action.DENY, caller("web"), scope=Scope.WORKLOAD_SELECTOR)
        stray = policy("stray", Action.DENY, caller("web"), scope=Scope.WORKLOAD_SELECTOR)
        assert isinstance(decide(arrival("10.0.0.2:8080"), named), Refusal)
        assert isinstance(decide(arrival("10.0.0.2:8080"), stray), Admission)

    def test_strict_refuses_plaintext_only(self) -> None:
        assert isinstance(decide(arrival(None, peer=None, to="10.0.0.2:8080"), STRICT), Refusal)
        assert isinstance(decide(arrival("10.0.0.2:8080"), STRICT), Admission)
