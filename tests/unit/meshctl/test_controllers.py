"""Namespaces, addresses, placement, and what apply keeps."""

from ipaddress import IPv4Address

import pytest

from meshctl.lab.addressing import next_pod_address, next_service_address
from meshctl.lab.controllers.birth import born, started_in, updated
from meshctl.lab.controllers.edit import Edit, Put, Remove, Terminate
from meshctl.lab.controllers.namespace import namespace_edits
from meshctl.lab.controllers.scheduler import scheduler_edits
from meshctl.lab.controllers.service import service_edits
from meshctl.lab.store import Objects
from meshctl.manifest import Body, Key, key_of

NOW = "2026-01-01T00:00:00Z"


def objects(*bodies: Body) -> Objects:
    return {key_of(body): body for body in bodies}


def namespace(name: str, **metadata: object) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}


def service(name: str, **spec: object) -> Body:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}], **spec}}


def pod(name: str, owner: str = "", **spec: object) -> Body:
    metadata: Body = {"name": name, "namespace": "shop", "uid": name}
    if owner:
        metadata["ownerReferences"] = [{"kind": "ReplicaSet", "name": f"{owner}-abc"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [], **spec}}


def written(edits: list[Edit]) -> list[Body]:
    return [edit.body for edit in edits if isinstance(edit, Put)]


class TestNamespaces:
    def test_a_namespace_gets_its_label_and_a_default_service_account(self) -> None:
        edits = namespace_edits(objects(namespace("shop")))
        puts = {body["kind"]: body["metadata"] for body in written(edits)}
        assert puts["Namespace"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
        assert puts["ServiceAccount"] == {"name": "default", "namespace": "shop"}

    def test_a_namespace_that_goes_takes_its_objects_along_and_goes_last(self) -> None:
        going = namespace("shop", deletionTimestamp=NOW)
        edits = namespace_edits(objects(going, service("web"), pod("web")))
        assert edits == [Terminate(Key("Pod", "shop", "web")), Remove(Key("Service", "shop", "web"))]
        assert namespace_edits(objects(going, pod("web"))) == [Terminate(Key("Pod", "shop", "web"))]
        assert namespace_edits(objects(going)) == [Remove(Key("Namespace", "", "shop"))]


class TestServiceAddresses:
    def test_services_get_different_addresses(self) -> None:
        first, second = (body["spec"] for body in written(service_edits(objects(service("a"), service("b")))))
        assert first["clusterIPs"] == [first["clusterIP"]]
        assert first["clusterIP"] != second["clusterIP"]

    def test_a_fixed_address_is_kept_and_not_given_away(self) -> None:
        edits = service_edits(objects(service("a"), service("b", clusterIP="10.96.1.0")))
        found = {
            edit.body["metadata"]["name"]: edit.body["spec"]["clusterIP"] for edit in edits if isinstance(edit, Put)
        }
        assert found["b"] == "10.96.1.0"
        assert found["a"] == "10.96.1.1"

    def test_headless_services_keep_having_none(self) -> None:
        [headless] = written(service_edits(objects(service("a", clusterIP="None"))))
        assert headless["spec"]["clusterIPs"] == ["None"]

    def test_the_first_addresses_are_left_for_those_who_fix_theirs(self) -> None:
        assert next_service_address(set()) == "10.96.1.0"


class TestPodAddresses:
    def test_an_address_is_not_reused_at_once(self) -> None:
        first = next_pod_address(1, None, set())
        assert first == IPv4Address("10.244.1.2")
        assert next_pod_address(1, first, set()) == IPv4Address("10.244.1.3")

    def test_after_the_last_comes_the_first_free_one(self) -> None:
        used = {IPv4Address("10.244.2.2")}
        assert next_pod_address(2, IPv4Address("10.244.2.254"), used) == IPv4Address("10.244.2.3")

    def test_a_full_node_has_none(self) -> None:
        used = {IPv4Address(int(IPv4Address("10.244.1.0")) + last) for last in range(256)}
        assert next_pod_address(1, None, used) is None


class TestPlacement:
    def test_pods_of_one_deployment_are_spread(self) -> None:
        there = objects(pod("other", nodeName="node-2"), pod("web-abc-1", "web"), pod("web-abc-2", "web"))
        edits = scheduler_edits(there, ["node-1", "node-2"])
        placed = {
            edit.body["metadata"]["name"]: edit.body["spec"]["nodeName"] for edit in edits if isinstance(edit, Put)
        }
        assert placed == {"web-abc-1": "node-1", "web-abc-2": "node-2"}

    def test_a_node_that_was_named_is_kept(self) -> None:
        assert scheduler_edits(objects(pod("web", nodeName="node-2")), ["node-1", "node-2"]) == []


class TestApply:
    def test_a_new_object_gets_identity_and_loses_a_status_it_came_with(self) -> None:
        made = born({**service("web"), "status": {"x": 1}}, "uid-1", NOW)
        assert made["metadata"]["uid"] == "uid-1"
        assert made["metadata"]["creationTimestamp"] == NOW
        assert "status" not in made

    def test_identity_addresses_status_and_system_annotations_survive_and_the_rest_is_replaced(self) -> None:
        old = born(service("web", clusterIP="10.96.1.9", clusterIPs=["10.96.1.9"]), "uid-1", NOW)
        annotations = {"ambient.istio.io/redirection": "enabled", "gone": "1"}
        old = {**old, "metadata": {**old["metadata"], "annotations": annotations}, "status": {"s": 1}}
        new = updated(old, {**service("web", ports=[{"port": 81}])})
        assert new["metadata"]["uid"] == "uid-1"
        assert new["metadata"]["annotations"] == {"ambient.istio.io/redirection": "enabled"}
        assert new["metadata"]["generation"] == 2
        assert new["spec"] == {"clusterIP": "10.96.1.9", "clusterIPs": ["10.96.1.9"], "ports": [{"port": 81}]}
        assert new["status"] == {"s": 1}

    def test_the_same_again_changes_nothing(self) -> None:
        old = born(service("web"), "uid-1", NOW)
        assert updated(old, service("web")) == old

    @pytest.mark.parametrize(("own", "expected"), [(None, "/examples"), ("/srv", "/srv")])
    def test_containers_start_beside_their_manifest_unless_they_say_where(self, own: str | None, expected: str) -> None:
        container = {"name": "web"} | ({"workingDir": own} if own else {})
        made = started_in("/examples", pod("web", containers=[container]))
        assert made["spec"]["containers"][0]["workingDir"] == expected
