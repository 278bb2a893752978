"""The compiler, one producer rule of Istio's ambient mode after the other."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from istiod_lite.compile import Settings, compile_world
from mesh.address import Address
from mesh.identity import Identity
from mesh.policy import Action, Clause, Match, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.verdict import Call, HttpCall, authorize
from mesh.workload import AppProtocol, Balancing, BalancingMode, LocalityScope, Port, TunnelProtocol, target_port

CART = "shop/cart.shop.svc.cluster.local"
NEAR = (LocalityScope.NETWORK, LocalityScope.REGION, LocalityScope.ZONE)


def service(name: str = "cart", spec: str = "ports: [{port: 80, targetPort: 8080}]", meta: str = "") -> str:
    return f"""
        apiVersion: v1
        kind: Service
        metadata: {{name: {name}, namespace: shop, {meta}}}
        spec: {{clusterIP: 10.96.0.1, selector: {{app: {name}}}, {spec}}}
    """


def pod(name: str = "cart-1", meta: str = "", ready: str = "True", ip: str = "10.244.0.1") -> str:
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}, namespace: shop, labels: {{app: cart}}, {meta}}}
        spec:
          serviceAccountName: cart
          nodeName: node-1
          containers: [{{name: c, ports: [{{name: web, containerPort: 9000}}]}}]
        status: {{podIP: {ip}, conditions: [{{type: Ready, status: '{ready}'}}]}}
    """


def policy(spec: str, name: str = "p", namespace: str = "shop", meta: str = "") -> str:
    return f"""
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {{name: {name}, namespace: {namespace}, {meta}}}
        spec: {spec}
    """


def peers(spec: str, name: str = "default", namespace: str = "shop", created: str = "2026-01-01T00:00:00Z") -> str:
    return f"""
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: {created}}}
        spec: {spec}
    """


@pytest.fixture
def compiled(world_of):
    return lambda *texts: compile_world(world_of(*texts), Settings())


@pytest.fixture
def workload(compiled):
    def only(*texts: str):
        (found,) = compiled(*texts).workloads.values()
        return found

    return only


class TestWorkloads:
    def test_a_pod_is_a_workload_with_the_uid_of_istio(self, workload):
        found = workload(pod())
        assert found.uid == "Kubernetes//Pod/shop/cart-1"
        assert found.identity == Identity("cluster.local", "shop", "cart")
        assert (found.node, found.addresses) == ("node-1", (ip_address("10.244.0.1"),))
        assert found.tunnel is TunnelProtocol.NONE

    def test_an_enrolled_pod_is_reached_by_hbone(self, workload):
        found = workload(pod(meta="annotations: {ambient.istio.io/redirection: enabled}"))
        assert (found.tunnel, found.native_tunnel) == (TunnelProtocol.HBONE, False)

    @pytest.mark.parametrize("state", ["pending", "disabled", ""])
    def test_anything_but_enabled_is_not_enrolled(self, workload, state: str):
        found = workload(pod(meta=f"annotations: {{ambient.istio.io/redirection: '{state}'}}"))
        assert found.tunnel is TunnelProtocol.NONE

    def test_a_pod_that_tunnels_by_itself(self, workload):
        text = pod().replace("app: cart}", "app: cart, networking.istio.io/tunnel: http}")
        found = workload(text)
        assert (found.tunnel, found.native_tunnel) == (TunnelProtocol.HBONE, True)

    @pytest.mark.parametrize("text", [pod(ip="''"), pod().replace("status: {", "status: {phase: Succeeded, ")])
    def test_a_pod_without_address_or_that_has_finished_is_no_workload(self, compiled, text: str):
        assert compiled(text).workloads == {}

    def test_a_pod_that_is_not_ready_or_about_to_go_is_unhealthy(self, workload):
        assert workload(pod()).healthy
        assert not workload(pod(ready="False")).healthy
        assert not workload(pod(meta="deletionTimestamp: 2026-01-01T00:00:00Z")).healthy

    def test_the_deployment_gives_the_name(self, workload):
        owner = "ownerReferences: [{kind: ReplicaSet, name: cart-abc12, controller: true}]"
        text = pod(meta=owner).replace("app: cart}", "app: cart, pod-template-hash: abc12}")
        assert workload(text).workload_name == "cart"
        assert workload(pod(meta="ownerReferences: [{kind: Deployment, name: c}]")).workload_name == "c"
        assert workload(pod()).workload_name == "cart-1"

    def test_locality_comes_from_the_node(self, compiled):
        node = "apiVersion: v1\nkind: Node\nmetadata: {name: node-1, labels: {topology.kubernetes.io/zone: z1}}"
        (found,) = compiled(pod(), node).workloads.values()
        assert found.locality.zone == "z1"

    def test_named_target_ports_are_those_of_each_pod(self, compiled):
        snapshot = compiled(service(spec="ports: [{port: 80, targetPort: web}]"), pod())
        (found,), cart = snapshot.workloads.values(), snapshot.services[CART]
        assert cart.ports == (Port(80, 0, AppProtocol.UNKNOWN),)
        assert target_port(cart, found, 80) == 9000

    def test_a_pod_is_an_endpoint_of_every_service_that_selects_it(self, compiled):
        other = service("all").replace("app: all", "app: cart")
        (found,) = compiled(service(), other, service("web"), pod()).workloads.values()
        assert [one.service for one in found.services] == ["shop/all.shop.svc.cluster.local", CART]


class TestServices:
    def test_a_service_has_its_full_host_name_and_vip(self, compiled):
        cart = compiled(service()).services[CART]
        assert cart.canonical
        assert [str(one.ip) for one in cart.addresses] == ["10.96.0.1"]
        assert cart.ports == (Port(80, 8080, AppProtocol.UNKNOWN),)

    def test_a_headless_service_has_no_vip_and_an_external_name_is_no_service(self, compiled):
        assert compiled(service().replace("10.96.0.1", "None")).services[CART].addresses == ()
        assert compiled(service(spec="type: ExternalName, externalName: example.org")).services == {}

    @pytest.mark.parametrize(
        ("port", "protocol"),
        [
            ("{port: 80, name: http-web}", AppProtocol.HTTP11),
            ("{port: 80, name: http2}", AppProtocol.HTTP2),
            ("{port: 80, name: grpc-web-x}", AppProtocol.HTTP11),
            ("{port: 80, name: grpc-x}", AppProtocol.GRPC),
            ("{port: 80, name: https}", AppProtocol.TLS),
            ("{port: 80, name: http, appProtocol: tcp}", AppProtocol.TCP),
            ("{port: 80, name: http, appProtocol: example.org/mine}", AppProtocol.UNKNOWN),
            ("{port: 80, appProtocol: kubernetes.io/h2c}", AppProtocol.HTTP2),
            ("{port: 3306, name: db}", AppProtocol.TCP),
            ("{port: 8080, name: web}", AppProtocol.UNKNOWN),
        ],
    )
    def test_the_protocol_of_a_port(self, compiled, port: str, protocol: AppProtocol):
        assert compiled(service(spec=f"ports: [{port}]")).services[CART].ports[0].protocol is protocol

    def test_udp_ports_are_not_for_proxies(self, compiled):
        assert compiled(service(spec="ports: [{port: 53, protocol: UDP}]")).services[CART].ports == ()

    @pytest.mark.parametrize(
        ("spec", "balancing"),
        [
            ("ports: []", Balancing()),
            ("trafficDistribution: PreferClose", Balancing(NEAR, BalancingMode.FAILOVER)),
            ("internalTrafficPolicy: Local", Balancing((LocalityScope.NODE,), BalancingMode.STRICT)),
            ("publishNotReadyAddresses: true", Balancing(unhealthy_too=True)),
        ],
    )  # fmt: skip
    def test_balancing(self, compiled, spec: str, balancing: Balancing):
        assert compiled(service(spec=spec)).services[CART].balancing == balancing


class TestPolicies:
    @pytest.mark.parametrize(
        ("text", "scope"),
        [
            (policy("{}"), Scope.NAMESPACE),
            (policy("{}", namespace="istio-system"), Scope.GLOBAL),
            (policy("{selector: {matchLabels: {app: cart}}}"), Scope.WORKLOAD_SELECTOR),
            (policy("{targetRefs: [{kind: Service, group: '', name: cart}]}"), Scope.TARGET),
        ],
    )
    def test_the_scope_of_a_policy(self, compiled, text: str, scope: Scope):
        (found,) = compiled(text).policies.values()
        assert (found.scope, found.action, found.rules) == (scope, Action.ALLOW, ())

    def test_selected_workloads_name_their_policies(self, workload):
        chosen = policy("{selector: {matchLabels: {app: cart}}}", "chosen")
        other = policy("{selector: {matchLabels: {app: web}}}", "other")
        wide = policy("{selector: {matchLabels: {app: cart}}}", "wide", "istio-system")
        elsewhere = policy("{selector: {matchLabels: {app: cart}}}", "elsewhere", "bank")
        found = workload(pod(), chosen, other, wide, elsewhere)
        assert found.policies == ("istio-system/wide", "shop/chosen")

    def test_values_with_wildcards(self, compiled):
        (found,) = compiled(
            policy("{rules: [{from: [{source: {namespaces: ['*', a, 'b*', '*c']}}]}]}")
        ).policies.values()
        assert found.rules[0].clauses[0].matches[0].namespaces == (
            TextMatch(TextMatchKind.PRESENCE), TextMatch(TextMatchKind.EXACT, "a"),
            TextMatch(TextMatchKind.PREFIX, "b"), TextMatch(TextMatchKind.SUFFIX, "c"),
        )  # fmt: skip

    def test_sources_and_conditions_must_all_hold(self, compiled):
        sources = "[{source: {ipBlocks: [10.0.0.1]}}, {source: {ipBlocks: [10.0.0.2]}}]"
        when = "[{key: destination.port, notValues: ['80']}]"
        (found,) = compiled(policy(f"{{action: DENY, rules: [{{from: {sources}, when: {when}}}]}}")).policies.values()
        assert found.rules == (
            Rule((
                Clause((Match(source_ips=(ip_network("10.0.0.1"),)), Match(source_ips=(ip_network("10.0.0.2"),)))),
                Clause((Match(not_destination_ports=(80,)),)),
            )),
        )  # fmt: skip

    def test_ztunnel_allows_nothing_by_what_it_cannot_see(self, compiled):
        rules = "[{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {ports: ['80']}}]}]"
        (found,) = compiled(policy(f"{{rules: {rules}}}")).policies.values()
        assert found.rules == (Rule((Clause((Match(destination_ports=(80,)),)),)),)

    def test_ztunnel_denies_without_regard_to_what_it_cannot_see(self, compiled):
        operations = "[{operation: {methods: [GET], ports: ['80']}}]"
        (found,) = compiled(policy(f"{{action: DENY, rules: [{{to: {operations}}}]}}")).policies.values()
        assert found.rules == (Rule((Clause((Match(destination_ports=(80,)),)),)),)

    def test_an_alternative_that_cannot_be_seen_at_all_makes_the_clause_true(self, compiled):
        operations = "[{operation: {methods: [GET]}}, {operation: {ports: ['80']}}]"
        (found,) = compiled(policy(f"{{action: DENY, rules: [{{to: {operations}}}]}}")).policies.values()
        assert found.rules == (Rule(()),)

    def test_a_waypoints_policy_keeps_layer_7(self, compiled):
        target = "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}]"
        operation = "{operation: {methods: [GET], notPaths: [/admin*], hosts: [a.example]}}"
        (found,) = compiled(policy(f"{{{target}, rules: [{{to: [{operation}]}}]}}")).policies.values()
        assert found.targets == (Target("Gateway", "shop", "waypoint"),)
        assert found.rules[0].clauses[0].matches == (
            Match(
                methods=(TextMatch(TextMatchKind.EXACT, "GET"),),
                not_paths=(TextMatch(TextMatchKind.PREFIX, "/admin"),),
                hosts=(TextMatch(TextMatchKind.EXACT, "a.example"),),
            ),
        )

    def test_only_a_waypoint_can_check_tokens_so_a_node_allows_nothing_by_them(self, compiled):
        rules = "rules: [{from: [{source: {requestPrincipals: ['*']}}]}]"
        (found,) = compiled(policy(f"{{{rules}}}")).policies.values()
        assert found.rules == ()
        target = "targetRefs: [{kind: Service, group: '', name: cart}]"
        (found,) = compiled(policy(f"{{{target}, {rules}}}")).policies.values()
        assert found.rules == (Rule((Clause((Match(request_principals=(TextMatch(TextMatchKind.PRESENCE),)),)),)),)

    def test_a_policy_for_a_class_counts_in_the_root_namespace_only(self, compiled):
        spec = "{targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}]}"
        (found,) = compiled(policy(spec, namespace="istio-system")).policies.values()
        assert found.targets == (Target("GatewayClass", "", "istio-waypoint"),)
        (found,) = compiled(policy(spec)).policies.values()
        assert (found.scope, found.targets) == (Scope.TARGET, ())

    def test_nobody_can_ask_an_authorizer_so_custom_denies(self, compiled):
        spec = "{action: CUSTOM, provider: {name: x}, rules: [{to: [{operation: {paths: [/admin]}}]}]}"
        (found,) = compiled(policy(spec)).policies.values()
        assert (found.action, found.rules) == (Action.DENY, (Rule(()),))

    def test_audit_decides_nothing(self, compiled):
        assert compiled(policy("{action: AUDIT, rules: [{}]}")).policies == {}, "no waypoint could record it"
        recorded = compiled(policy('{action: AUDIT, targetRefs: [{group: "", kind: Service, name: web}], rules: [{}]}'))
        assert [one.action for one in recorded.policies.values()] == [Action.AUDIT]

    def test_dry_run(self, compiled):
        (found,) = compiled(policy("{}", meta="annotations: {istio.io/dry-run: 'true'}")).policies.values()
        assert found.dry_run


STRICT = "istio-system/istio_converted_static_strict"


class TestPeerAuthentications:
    def allowed(self, snapshot, port: int, *, identity: bool) -> bool:
        (found,) = snapshot.workloads.values()
        who = Identity("cluster.local", "shop", "web") if identity else None
        call = Call(who, ip_address("10.244.0.9"), Address(ip_address("10.244.0.1"), port))
        return authorize(snapshot.policies_for(found), call).allowed

    def test_without_any_plain_text_is_taken(self, compiled):
        snapshot = compiled(pod())
        assert snapshot.policies == {}

    @pytest.mark.parametrize("namespace", ["shop", "istio-system"])
    def test_strict_for_a_namespace_or_the_mesh(self, compiled, namespace: str):
        snapshot = compiled(pod(), peers("{mtls: {mode: STRICT}}", namespace=namespace))
        assert self.allowed(snapshot, 80, identity=True)
        assert not self.allowed(snapshot, 80, identity=False)

    def test_the_nearest_mode_wins(self, workload):
        mesh = peers("{mtls: {mode: STRICT}}", namespace="istio-system")
        namespace = peers("{mtls: {mode: PERMISSIVE}}")
        own = peers("{selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}}", "own")
        assert workload(pod(), mesh).policies == (STRICT,)
        assert workload(pod(), mesh, namespace).policies == ()
        assert workload(pod(), mesh, namespace, own).policies == (STRICT,)
        assert workload(pod(), mesh, peers("{mtls: {mode: UNSET}}")).policies == (STRICT,)

    def test_the_oldest_of_a_level_wins(self, workload):
        young = peers("{mtls: {mode: STRICT}}", "a", created="2026-02-01T00:00:00Z")
        old = peers("{mtls: {mode: PERMISSIVE}}", "b", created="2026-01-01T00:00:00Z")
        assert workload(pod(), young, old).policies == ()

    def test_a_strict_port_of_a_permissive_workload(self, compiled):
        snapshot = compiled(
            pod(), peers("{selector: {matchLabels: {app: cart}}, portLevelMtls: {8080: {mode: STRICT}}}")
        )
        assert not self.allowed(snapshot, 8080, identity=False)
        assert self.allowed(snapshot, 8080, identity=True)
        assert self.allowed(snapshot, 9090, identity=False)

    def test_an_open_port_of_a_strict_workload(self, compiled):
        spec = "{selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}"
        snapshot = compiled(pod(), peers(spec))
        assert self.allowed(snapshot, 8080, identity=False)
        assert not self.allowed(snapshot, 9090, identity=False)

    def test_an_open_port_where_the_namespace_is_strict(self, compiled):
        own = peers("{selector: {matchLabels: {app: cart}}, portLevelMtls: {8080: {mode: PERMISSIVE}}}", "own")
        snapshot = compiled(pod(), peers("{mtls: {mode: STRICT}}"), own)
        assert self.allowed(snapshot, 8080, identity=False)
        assert not self.allowed(snapshot, 9090, identity=False)


def test_what_ztunnel_cannot_see_never_opens_a_door(compiled):
    """The same two policies, seen by a waypoint that knows the request and by a ztunnel that does not."""
    rules = "rules: [{to: [{operation: {methods: [GET]}}]}]"
    (blind,) = compiled(policy(f"{{{rules}}}")).policies.values()
    (seeing,) = compiled(
        policy(f"{{targetRefs: [{{kind: Service, group: '', name: cart}}], {rules}}}")
    ).policies.values()
    call = Call(None, ip_address("10.0.0.1"), Address(ip_address("10.0.0.2"), 80), HttpCall("GET", "/", "cart"))
    assert authorize([seeing], call).allowed
    assert not authorize([blind], call).allowed
