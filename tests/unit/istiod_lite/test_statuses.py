"""Status: every object is told the truth about itself, in Istio's and the Gateway API's words."""

from __future__ import annotations

import pytest

from istiod_lite.compile import Settings
from istiod_lite.object import ObjectKey
from istiod_lite.status import document, statuses

GATEWAY_GROUP, SECURITY_GROUP = "gateway.networking.k8s.io", "security.istio.io"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}"
SERVICES = """
    apiVersion: v1
    kind: Service
    metadata: {name: cart, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
    spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}, {name: grpc, port: 90}]}
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: old, namespace: shop}
    spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}
"""
GATEWAY = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: waypoint, namespace: shop, generation: 2}
    spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"""
WAYPOINT_SERVICE = """
    apiVersion: v1
    kind: Service
    metadata: {name: waypoint, namespace: shop, labels: {gateway.istio.io/managed: istio.io-mesh-controller}}
    spec: {clusterIP: 10.96.0.9, ports: [{port: 15008}]}
"""
WAYPOINT_POD = """
    apiVersion: v1
    kind: Pod
    metadata: {name: wp-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
    spec: {containers: [{name: c}]}
    status: {podIP: 10.244.0.9, conditions: [{type: Ready, status: 'True'}]}
"""
FOR_WORKLOADS = GATEWAY.replace("generation: 2", "labels: {istio.io/waypoint-for: workload}")
ENTRY = """
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: cart, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
    spec:
      hosts: [cart.example.com]
      ports: [{name: http, number: 80, protocol: HTTP}]
      resolution: STATIC
      endpoints: [{address: 192.0.2.1}]
"""
ENTRY_TARGET = "kind: ServiceEntry, group: networking.istio.io, name: cart"
READY = (GATEWAY, WAYPOINT_SERVICE, WAYPOINT_POD)


def route(spec: str, name: str = "r", kind: str = "HTTPRoute", namespace: str = "shop") -> str:
    return f"""
        apiVersion: gateway.networking.k8s.io/v1
        kind: {kind}
        metadata: {{name: {name}, namespace: {namespace}, generation: 4}}
        spec: {spec}
    """


def policy(spec: str, namespace: str = "shop", meta: str = "") -> str:
    return f"""
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {{name: p, namespace: {namespace}, {meta}}}
        spec: {spec}
    """


def pod(captured: bool, name: str = "cart-1") -> str:
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: {name}, namespace: shop, labels: {{app: cart}}, annotations: {{ambient.istio.io/redirection: {"enabled" if captured else "pending"}}}}}
        spec: {{containers: [{{name: c}}]}}
        status: {{podIP: 10.244.0.1}}
    """  # noqa: E501


PARAMETERS = "infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: x}}"
GATEWAY_TARGET = "kind: Gateway, group: gateway.networking.k8s.io, name: waypoint"
TO_CART = "parentRefs: [{group: '', kind: Service, name: cart}]"
BACK = "rules: [{backendRefs: [{name: cart, port: 80}]}]"


def short(conditions) -> dict[str, str]:
    """Conditions as `type: status/reason`."""
    return {one["type"]: f"{one['status']}/{one['reason']}" for one in conditions}


@pytest.fixture
def status_of(world_of):
    def one(key: ObjectKey, *texts: str, **kwargs):
        return statuses(world_of(*texts), Settings(), **kwargs).get(key)

    return one


@pytest.fixture
def parents_of(status_of):
    """The conditions of each parent of the route `r`."""

    def found(text: str, *texts: str, kind: str = "HTTPRoute", namespace: str = "shop"):
        status = status_of(ObjectKey(GATEWAY_GROUP, kind, namespace, "r"), text, SERVICES, *texts)
        return [short(one["conditions"]) for one in status["parents"]] if status else None

    return found


class TestRoutes:
    def test_a_route_in_force(self, parents_of):
        assert parents_of(route(f"{{{TO_CART}, {BACK}}}"), *READY) == [
            {
                "Accepted": "True/Accepted",
                "ResolvedRefs": "True/ResolvedRefs",
                "ResolvedWaypoints": "True/ResolvedWaypoints",
            }
        ]

    def test_each_parent_has_its_entry_as_it_was_written(self, status_of):
        text = route(
            "{parentRefs: [{group: '', kind: Service, name: cart}, {group: '', kind: Service, name: gone, port: 1}]}"
        )
        status = status_of(ObjectKey(GATEWAY_GROUP, "HTTPRoute", "shop", "r"), text, SERVICES)
        assert [one["parentRef"] for one in status["parents"]] == [
            {"group": "", "kind": "Service", "name": "cart"},
            {"group": "", "kind": "Service", "name": "gone", "port": 1},
        ]
        assert {one["controllerName"] for one in status["parents"]} == {"istio.io/gateway-controller"}
        assert status["parents"][0]["conditions"][0]["observedGeneration"] == 4

    @pytest.mark.parametrize("parent", ["name: missing", "name: cart, port: 81", "name: cart, sectionName: web"])
    def test_a_parent_that_is_not_there(self, parents_of, parent: str):
        (found,) = parents_of(route(f"{{parentRefs: [{{group: '', kind: Service, {parent}}}], {BACK}}}"))
        assert found["Accepted"] == "False/NoMatchingParent"

    def test_a_service_without_waypoint_follows_no_route(self, parents_of):
        (found,) = parents_of(route("{parentRefs: [{group: '', kind: Service, name: old}]}"))
        assert found["ResolvedWaypoints"] == "False/NoWaypoint"

    def test_a_waypoint_that_is_not_ready(self, parents_of):
        assert parents_of(route(f"{{{TO_CART}}}"), GATEWAY)[0]["ResolvedWaypoints"] == "False/WaypointIsNotReady"

    @pytest.mark.parametrize(
        ("backend", "reason"),
        [
            ("{name: cart, port: 80}", "True/ResolvedRefs"),
            ("{name: missing, port: 80}", "False/BackendNotFound"),
            ("{name: cart, port: 81}", "False/BackendNotFound"),
            ("{name: cart, kind: Bucket, group: example.org}", "False/InvalidKind"),
            ("{name: missing, port: 80, weight: 0}", "True/ResolvedRefs"),
        ],
    )
    def test_references_to_backends(self, parents_of, backend: str, reason: str):
        (found,) = parents_of(route(f"{{{TO_CART}, rules: [{{backendRefs: [{backend}]}}]}}"))
        assert found["ResolvedRefs"] == reason

    def test_a_mirror_that_leads_nowhere_is_told(self, parents_of):
        mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}"
        (found,) = parents_of(route(f"{{{TO_CART}, rules: [{{filters: [{mirror}]}}]}}"))
        assert (found["Accepted"], found["ResolvedRefs"]) == ("True/Accepted", "False/BackendNotFound")

    def test_another_namespace_needs_no_grant_in_a_mesh(self, parents_of):
        text = "{parentRefs: [{group: '', kind: Service, name: cart, namespace: shop}], rules: [{backendRefs: [{name: cart, namespace: shop, port: 80}]}]}"  # noqa: E501
        (found,) = parents_of(route(text, namespace="other"), namespace="other")
        assert found["ResolvedRefs"] == "True/ResolvedRefs"

    def test_some_rules_or_all_of_them_cannot_be_carried_out(self, parents_of):
        lacking = "{filters: [{type: ExtensionRef, extensionRef: {group: g.example, kind: K, name: n}}]}"
        (found,) = parents_of(route(f"{{{TO_CART}, rules: [{lacking}, {{}}]}}"))
        assert (found["Accepted"], found["PartiallyInvalid"]) == ("True/Accepted", "True/UnsupportedValue")
        (found,) = parents_of(route(f"{{{TO_CART}, rules: [{lacking}]}}"))
        assert found["Accepted"] == "False/UnsupportedValue"

    def test_the_message_of_a_partially_invalid_route_begins_as_the_api_wants_it(self, status_of):
        lacking = "{filters: [{type: ExtensionRef, extensionRef: {group: g.example, kind: K, name: n}}], name: open}"
        text = route(f"{{{TO_CART}, rules: [{{}}, {lacking}]}}")
        status = status_of(ObjectKey(GATEWAY_GROUP, "HTTPRoute", "shop", "r"), text, SERVICES)
        (message,) = [one["message"] for one in status["parents"][0]["conditions"] if one["type"] == "PartiallyInvalid"]
        assert message == "Dropped Rule: rule open: filter ExtensionRef is not supported, its requests are answered 500"

    @pytest.mark.parametrize(
        ("grpc", "http", "accepted"),
        [
            ("", "", "False/Conflicted"),
            (", port: 90", "", "True/Accepted"),
            (", port: 90", ", port: 90", "False/Conflicted"),
            (", sectionName: grpc", ", port: 80", "True/Accepted"),
        ],
    )
    def test_a_grpc_route_wins_over_http_routes_on_its_ports(self, parents_of, grpc, http, accepted):
        winner = route(f"{{parentRefs: [{{group: '', kind: Service, name: cart{grpc}}}]}}", "g", "GRPCRoute")
        (found,) = parents_of(route(f"{{parentRefs: [{{group: '', kind: Service, name: cart{http}}}]}}"), winner)
        assert found["Accepted"] == accepted

    def test_a_consumers_route_does_not_conflict_with_the_producers(self, parents_of):
        winner = route(f"{{{TO_CART}}}", "g", "GRPCRoute")
        text = route("{parentRefs: [{group: '', kind: Service, name: cart, namespace: shop}]}", namespace="other")
        assert parents_of(text, winner, namespace="other")[0]["Accepted"] == "True/Accepted"

    def test_routes_of_gateways_are_somebody_elses_unless_the_gateway_is_a_waypoint(self, parents_of):
        assert parents_of(route("{parentRefs: [{name: front}]}")) is None
        assert parents_of(route("{parentRefs: [{name: waypoint}]}"), GATEWAY) == [
            {"Accepted": "False/NotAllowedByListeners"}
        ]


class TestGateways:
    KEY = ObjectKey(GATEWAY_GROUP, "Gateway", "shop", "waypoint")

    @pytest.mark.parametrize(
        ("texts", "programmed", "addressed"),
        [
            ((GATEWAY,), "False/AddressNotAssigned", False),
            ((GATEWAY, WAYPOINT_SERVICE), "False/Pending", True),
            (READY, "True/Programmed", True),
        ],
    )
    def test_a_waypoint_comes_up(self, status_of, texts, programmed, addressed):
        status = status_of(self.KEY, *texts)
        assert short(status["conditions"]) == {"Accepted": "True/Accepted", "Programmed": programmed}
        wanted = [{"type": "Hostname", "value": "waypoint.shop.svc.cluster.local"}] if addressed else None
        assert status.get("addresses") == wanted
        assert short(status["listeners"][0]["conditions"])["Programmed"] == programmed

    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("protocol: HBONE", "protocol: HTTP", "ListenersNotValid"),
            ("port: 15008", "port: 80", "ListenersNotValid"),
            ("listeners:", "addresses: [{value: 10.0.0.1}], listeners:", "UnsupportedAddress"),
            ("listeners:", f"{PARAMETERS}, listeners:", "InvalidParameters"),
        ],
    )  # fmt: skip
    def test_what_no_waypoint_can_be(self, status_of, old, new, reason):
        found = short(status_of(self.KEY, GATEWAY.replace(old, new))["conditions"])
        assert found == {"Accepted": f"False/{reason}", "Programmed": "False/Invalid"}

    def test_other_classes_are_left_alone(self, status_of):
        assert status_of(self.KEY, GATEWAY.replace("istio-waypoint", "nginx")) is None

    def test_our_class_is_accepted_and_no_other(self, status_of):
        text = """
            apiVersion: gateway.networking.k8s.io/v1
            kind: GatewayClass
            metadata: {name: c}
            spec: {controllerName: X/c}
        """
        key = ObjectKey(GATEWAY_GROUP, "GatewayClass", "", "c")
        ours = text.replace("X/c", "istio.io/mesh-controller")
        assert short(status_of(key, ours)["conditions"]) == {"Accepted": "True/Accepted"}
        assert status_of(key, text.replace("X/c", "example.org/c")) is None


class TestPolicies:
    @pytest.fixture
    def condition(self, status_of):
        def found(text: str, *texts: str, namespace: str = "shop") -> str:
            status = status_of(ObjectKey(SECURITY_GROUP, "AuthorizationPolicy", namespace, "p"), text, *texts)
            (only,) = short(status["conditions"]).items()
            return ": ".join(only)

        return found

    @pytest.mark.parametrize("spec", ["{}", "{selector: {matchLabels: {app: cart}}}", "{action: DENY, rules: [{}]}"])
    def test_what_ztunnel_enforces(self, condition, spec: str):
        assert condition(policy(spec), pod(captured=True)) == "ZtunnelAccepted: True/Accepted"

    @pytest.mark.parametrize(
        "spec",
        [
            "{selector: {matchLabels: {app: cart}}, rules: [{to: [{operation: {methods: [GET]}}]}]}",
            "{rules: [{when: [{key: 'request.headers[x]', values: [y]}]}]}",
            "{action: AUDIT, rules: [{}]}",
            "{action: CUSTOM, provider: {name: x}, rules: [{}]}",
        ],
    )
    def test_what_ztunnel_cannot_see_is_said(self, condition, spec: str):
        assert condition(policy(spec), pod(captured=True)) == "ZtunnelAccepted: False/UnsupportedValue"

    def test_a_selected_pod_outside_the_mesh_is_not_protected(self, condition):
        text = policy("{selector: {matchLabels: {app: cart}}}")
        assert condition(text, pod(captured=False)) == "ZtunnelAccepted: False/WorkloadNotCaptured"
        assert condition(text) == "ZtunnelAccepted: True/Accepted"

    @pytest.mark.parametrize(
        ("target", "texts", "said"),
        [
            ("kind: Service, group: '', name: cart", READY, "True/Accepted"),
            ("kind: Service, group: '', name: cart", (GATEWAY,), "False/WaypointIsNotReady"),
            ("kind: Service, group: '', name: old", READY, "False/AncestorNotBound"),
            ("kind: Service, group: '', name: gone", READY, "False/TargetNotFound"),
            (GATEWAY_TARGET, READY, "True/Accepted"),
            (GATEWAY_TARGET, (), "False/TargetNotFound"),
            (GATEWAY_TARGET, (GATEWAY.replace("istio-", "my-"),), "False/Invalid"),
            ("kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint", (), "False/Invalid"),
            (ENTRY_TARGET, (*READY, ENTRY), "True/Accepted"),
            (ENTRY_TARGET, (GATEWAY, ENTRY), "False/WaypointIsNotReady"),
            (ENTRY_TARGET, (*READY, ENTRY.replace("use-waypoint: waypoint", "other: x")), "False/AncestorNotBound"),
            (ENTRY_TARGET, READY, "False/TargetNotFound"),
        ],
    )  # fmt: skip
    def test_who_enforces_a_waypoints_policy(self, condition, target, texts, said):
        assert condition(policy(f"{{targetRefs: [{{{target}}}]}}"), SERVICES, *texts) == f"WaypointAccepted: {said}"

    def test_a_policy_for_all_waypoints_lives_in_the_root_namespace(self, condition):
        target = "{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}"
        text = policy(f"{{targetRefs: [{target}]}}", "istio-system")
        assert condition(text, namespace="istio-system") == "WaypointAccepted: True/Accepted"

    def test_some_targets_bound_and_some_not(self, condition):
        targets = "[{kind: Service, group: '', name: cart}, {kind: Service, group: '', name: gone}]"
        text = policy(f"{{targetRefs: {targets}}}")
        assert condition(text, SERVICES, *READY) == "WaypointAccepted: True/PartiallyInvalid"


class TestServices:
    @pytest.mark.parametrize(
        ("texts", "said"),
        [
            (READY, "True/WaypointAccepted"),
            ((GATEWAY,), "False/WaypointIsNotReady"),
            ((), "False/WaypointIsNotReady"),
            ((FOR_WORKLOADS,), "False/UnsupportedTrafficType"),
        ],
    )  # fmt: skip
    def test_whether_the_waypoint_takes_its_calls(self, status_of, texts, said):
        status = status_of(ObjectKey("", "Service", "shop", "cart"), SERVICES, *texts)
        assert short(status["conditions"]) == {"istio.io/WaypointBound": said}

    def test_a_service_without_waypoint_is_told_nothing(self, status_of):
        assert status_of(ObjectKey("", "Service", "shop", "old"), SERVICES) is None


class TestTransitionTimes:
    """A condition keeps its time until its status changes; reasons and messages may change meanwhile."""

    KEY = ObjectKey(GATEWAY_GROUP, "Gateway", "shop", "waypoint")

    def test_the_time_of_the_last_change_is_kept(self, world_of):
        first = statuses(world_of(GATEWAY), Settings(), now="2026-01-01T00:00:00Z")
        second = statuses(world_of(GATEWAY, WAYPOINT_SERVICE), Settings(), former=first, now="2026-01-02T00:00:00Z")
        third = statuses(world_of(*READY), Settings(), former=second, now="2026-01-03T00:00:00Z")
        times = [
            [one["lastTransitionTime"][:10] for one in found[self.KEY]["conditions"]]
            for found in (first, second, third)
        ]
        assert times == [["2026-01-01"] * 2, ["2026-01-01"] * 2, ["2026-01-01", "2026-01-03"]]

    def test_routes_and_listeners_keep_theirs(self, world_of):
        texts = (SERVICES, GATEWAY, route(f"{{{TO_CART}}}"))
        first = statuses(world_of(*texts), Settings(), now="2026-01-01T00:00:00Z")
        assert statuses(world_of(*texts), Settings(), former=first, now="2026-02-02T00:00:00Z") == first


def test_a_status_is_written_as_an_object_of_its_own():
    key = ObjectKey(GATEWAY_GROUP, "HTTPRoute", "shop", "r")
    assert document(key, {"parents": []}) == {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "shop"},
        "status": {"parents": []},
    }
    assert document(ObjectKey("", "Node", "", "n"), {})["metadata"] == {"name": "n"}
