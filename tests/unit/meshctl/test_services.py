"""Services: who answers, the nftables rules, the names."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from meshctl.lab.admission import problems_of
from meshctl.lab.controllers.edit import Put
from meshctl.lab.controllers.service import service_edits
from meshctl.lab.endpoints import Backed, Endpoint, ServicePort, backed_services
from meshctl.lab.names import Zone, answer, resolv_conf, zone
from meshctl.lab.service_rules import service_rules
from meshctl.manifest import Body, key_of


def pod(name: str, address: str, *, ready: bool = True, namespace: str = "shop", **metadata: object) -> Body:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web"}, **metadata},
        "spec": {"containers": [{"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": address, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def service(**spec: object) -> Body:
    given = {"clusterIP": "10.96.1.0", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
    return {"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {**given, **spec}}


def backed(*bodies: Body) -> Backed:
    [found] = backed_services({key_of(body): body for body in bodies})
    return found


class TestEndpoints:
    def test_ready_pods_with_the_labels_answer_on_the_port_that_they_name(self) -> None:
        found = backed(service(), pod("a", "10.244.1.2"), pod("b", "10.244.2.2", labels={"app": "other"}))
        assert found.ports[0].endpoints == (Endpoint(IPv4Address("10.244.1.2"), 8080),)

    def test_unready_terminating_and_foreign_pods_do_not(self) -> None:
        found = backed(
            service(),
            pod("a", "10.244.1.2", ready=False),
            pod("b", "10.244.1.3", deletionTimestamp="2026-01-01T00:00:00Z"),
            pod("c", "10.244.1.4", namespace="outside"),
        )
        assert found.ports[0].endpoints == ()

    def test_unready_ones_do_if_the_service_says_so(self) -> None:
        found = backed(service(publishNotReadyAddresses=True), pod("a", "10.244.1.2", ready=False))
        assert len(found.ports[0].endpoints) == 1

    def test_a_pod_without_the_named_port_does_not_answer_on_it(self) -> None:
        found = backed(service(ports=[{"port": 80, "targetPort": "grpc"}]), pod("a", "10.244.1.2"))
        assert found.ports[0].endpoints == ()

    def test_without_selector_nobody_answers(self) -> None:
        assert backed(service(selector=None), pod("a", "10.244.1.2")).pods == ()


WEB = Backed(
    namespace="shop",
    name="web",
    address=IPv4Address("10.96.1.0"),
    ports=(
        ServicePort(
            "http",
            "tcp",
            80,
            (Endpoint(IPv4Address("10.244.1.2"), 8080), Endpoint(IPv4Address("10.244.2.2"), 8080)),
        ),
        ServicePort("dns", "udp", 53, (Endpoint(IPv4Address("10.244.1.2"), 5353),)),
    ),
    pods=(("web-0", IPv4Address("10.244.1.2")), ("web-1", IPv4Address("10.244.2.2"))),
)
HEADLESS = Backed("shop", "peers", None, WEB.ports, WEB.pods)


class TestRules:
    def test_one_transaction_empties_and_refills(self) -> None:
        choices = "{ 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }"
        web = "add rule ip services addresses ip daddr 10.96.1.0"
        assert service_rules([WEB]).splitlines() == [
            "flush chain ip services addresses",
            "flush set ip services hairpin",
            "add element ip services hairpin { 10.244.1.2 . 10.244.1.2, 10.244.2.2 . 10.244.2.2 }",
            f"{web} tcp dport 80 dnat ip addr . port to numgen random mod 2 map {choices}",
            f"{web} udp dport 53 dnat to 10.244.1.2:5353",
        ]

    def test_nothing_is_translated_for_headless_services_and_ports_without_endpoints(self) -> None:
        empty = Backed("shop", "web", WEB.address, (ServicePort("http", "tcp", 80, ()),), ())
        rules = service_rules([HEADLESS, empty])
        assert "dnat" not in rules


BOTH = replace(WEB, address_v6=IPv6Address("fd00:10:96::100"))


class TestBothFamilies:
    def test_a_service_that_wants_both_gets_both(self) -> None:
        wants = service(ipFamilyPolicy="PreferDualStack")
        [edit] = service_edits({key_of(wants): wants}, dual=True)
        assert isinstance(edit, Put)
        assert edit.body["spec"]["clusterIPs"] == ["10.96.1.0", "fd00:10:96::100"]
        assert backed(edit.body).address_v6 == IPv6Address("fd00:10:96::100")

    @pytest.mark.parametrize(("policy", "dual"), [("SingleStack", True), ("PreferDualStack", False)])
    def test_others_get_one(self, policy: str, dual: bool) -> None:
        body = service(ipFamilyPolicy=policy)
        [edit] = service_edits({key_of(body): body}, dual=dual)
        assert isinstance(edit, Put)
        assert edit.body["spec"]["clusterIPs"] == ["10.96.1.0"]

    def test_rules_of_both(self) -> None:
        web = "add rule ip6 services addresses ip6 daddr fd00:10:96::100"
        pods = ("fd00:10:244::102", "fd00:10:244::202")
        choices = "{ 0 : fd00:10:244::102 . 8080, 1 : fd00:10:244::202 . 8080 }"
        assert service_rules([BOTH], dual=True).splitlines()[5:] == [
            "flush chain ip6 services addresses",
            "flush set ip6 services hairpin",
            f"add element ip6 services hairpin {{ {', '.join(f'{one} . {one}' for one in pods)} }}",
            f"{web} tcp dport 80 dnat ip6 addr . port to numgen random mod 2 map {choices}",
            f"{web} udp dport 53 dnat to [fd00:10:244::102]:5353",
        ]

    def test_each_kind_of_record_has_its_own_family(self) -> None:
        both = zone([BOTH])
        assert texts(ask(both, "web.shop.svc.cluster.local.", "A")) == {"10.96.1.0"}
        assert texts(ask(both, "web.shop.svc.cluster.local.", "AAAA")) == {"fd00:10:96::100"}

    def test_what_a_lab_cannot_do_is_refused_with_the_mend(self) -> None:
        [fault] = problems_of(service(ipFamilies=["IPv6"]), dual=True)
        assert "write ipFamilyPolicy: PreferDualStack" in fault
        [fault] = problems_of(service(ipFamilyPolicy="RequireDualStack"))
        assert "--ip-families dual" in fault
        assert not list(problems_of(service(ipFamilyPolicy="RequireDualStack"), dual=True))


@pytest.fixture
def known() -> Zone:
    return zone([WEB, HEADLESS])


def ask(known: Zone, name: str, kind: str = "A") -> dns.message.Message:
    return answer(dns.message.make_query(name, kind), known)


def texts(response: dns.message.Message) -> set[str]:
    return {record.to_text() for found in response.answer for record in found}


class TestNames:
    def test_a_service_has_its_virtual_address(self, known: Zone) -> None:
        assert texts(ask(known, "web.shop.svc.cluster.local.")) == {"10.96.1.0"}

    def test_case_does_not_matter_and_the_answer_repeats_the_question(self, known: Zone) -> None:
        response = ask(known, "WEB.Shop.svc.cluster.local.")
        assert texts(response) == {"10.96.1.0"}
        assert str(response.answer[0].name) == "WEB.Shop.svc.cluster.local."

    def test_a_headless_service_has_its_pods_addresses_and_they_have_names(self, known: Zone) -> None:
        assert texts(ask(known, "peers.shop.svc.cluster.local.")) == {"10.244.1.2", "10.244.2.2"}
        assert texts(ask(known, "web-1.peers.shop.svc.cluster.local.")) == {"10.244.2.2"}

    def test_a_pod_has_a_name_of_its_address(self, known: Zone) -> None:
        assert texts(ask(known, "10-244-1-9.shop.pod.cluster.local.")) == {"10.244.1.9"}

    def test_named_ports_have_srv_records(self, known: Zone) -> None:
        found = texts(ask(known, "_http._tcp.web.shop.svc.cluster.local.", "SRV"))
        assert found == {"0 100 80 web.shop.svc.cluster.local."}

    def test_a_name_without_an_ipv6_address_exists_all_the_same(self, known: Zone) -> None:
        response = ask(known, "web.shop.svc.cluster.local.", "AAAA")
        assert response.rcode() == dns.rcode.NOERROR
        assert not response.answer
        assert response.authority[0].rdtype == dns.rdatatype.SOA

    def test_hosts_of_service_entries_have_the_addresses_that_these_state(self) -> None:
        stated = {"spec": {"hosts": ["api.example.com", "*.example.com"], "addresses": ["240.0.0.9"]}}
        static = {"spec": {"hosts": ["db.example.com"], "endpoints": [{"address": "172.30.0.12"}]}}
        unknown = {"spec": {"hosts": ["nowhere.example.com"], "resolution": "DNS"}}
        known = zone([WEB], [stated, static, unknown])
        assert texts(ask(known, "api.example.com.")) == {"240.0.0.9"}
        assert texts(ask(known, "db.example.com.")) == {"172.30.0.12"}
        assert ask(known, "nowhere.example.com.").rcode() == dns.rcode.NXDOMAIN

    def test_an_external_name_is_an_alias(self) -> None:
        def external(name: str, target: str) -> Body:
            spec = {"type": "ExternalName", "externalName": target}
            return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}

        known = zone([WEB], (), [
            external("ext", "Web.shop.svc.cluster.local."),
            external("far", "www.example.org"),
            external("round", "round.shop.svc.cluster.local"),
        ])  # fmt: skip
        response = ask(known, "ext.shop.svc.cluster.local.")
        assert [found.to_text() for found in response.answer] == [
            "ext.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.cluster.local.",
            "web.shop.svc.cluster.local. 5 IN A 10.96.1.0",
        ]
        assert texts(ask(known, "ext.shop.svc.cluster.local.", "CNAME")) == {"web.shop.svc.cluster.local."}
        lost = ask(known, "far.shop.svc.cluster.local.")
        assert (texts(lost), lost.rcode()) == ({"www.example.org."}, dns.rcode.NXDOMAIN)
        assert len(ask(known, "round.shop.svc.cluster.local.").answer) == 8

    @pytest.mark.parametrize("name", ["shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local."])
    def test_a_name_above_others_exists(self, known: Zone, name: str) -> None:
        assert ask(known, name).rcode() == dns.rcode.NOERROR

    @pytest.mark.parametrize(
        "name",
        [
            "nobody.shop.svc.cluster.local.",
            "web.shop.shop.svc.cluster.local.",
            "example.org.",
            "9-9-9-9.a.pod.cluster.local.",
        ],
    )
    def test_any_other_name_does_not_exist_and_nobody_else_is_asked(self, known: Zone, name: str) -> None:
        assert ask(known, name).rcode() == dns.rcode.NXDOMAIN

    def test_pods_search_their_own_namespace_first(self) -> None:
        assert resolv_conf("shop", IPv4Address("10.96.0.10")) == (
            "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
        )
