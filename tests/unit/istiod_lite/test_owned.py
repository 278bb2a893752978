"""The objects of a waypoint, named and labelled as Istio's tools expect them."""

from __future__ import annotations

import pytest
import yaml

from istiod_lite import admission
from istiod_lite.waypoints import Surroundings, owned

GATEWAY = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: waypoint, namespace: shop, uid: u-1}
    spec:
      gatewayClassName: istio-waypoint
      listeners: [{name: mesh, port: 15008, protocol: HBONE}]
      infrastructure: {labels: {team: a, gateway.istio.io/managed: me}, annotations: {note: b}}
"""


@pytest.fixture
def objects(world_of):
    return {one["kind"]: one for one in owned(world_of(GATEWAY))}


def test_one_of_each_and_all_by_the_gateways_name(objects):
    assert list(objects) == ["ServiceAccount", "Service", "Deployment"]
    assert {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in objects.values()} == {
        ("shop", "waypoint")
    }


def test_labels_tell_whose_they_are_and_cannot_be_replaced(objects):
    for one in objects.values():
        assert one["metadata"]["labels"] == {
            "team": "a",
            "gateway.istio.io/managed": "istio.io-mesh-controller",
            "gateway.networking.k8s.io/gateway-class-name": "istio-waypoint",
            "gateway.networking.k8s.io/gateway-name": "waypoint",
        }
        assert one["metadata"]["ownerReferences"][0]["uid"] == "u-1"
        assert one["metadata"]["annotations"]["note"] == "b"


def test_the_service_has_the_ports_of_istio(objects):
    ports = [(one["name"], one["port"], one["appProtocol"]) for one in objects["Service"]["spec"]["ports"]]
    assert ports == [("status-port", 15021, "tcp"), ("mesh", 15008, "hbone")]
    selector, template = objects["Service"]["spec"]["selector"], objects["Deployment"]["spec"]["template"]
    assert selector.items() <= template["metadata"]["labels"].items()


def test_the_pod_is_out_of_the_mesh_and_runs_under_its_own_account(objects):
    template = objects["Deployment"]["spec"]["template"]
    assert template["metadata"]["labels"]["istio.io/dataplane-mode"] == "none"
    assert template["spec"]["serviceAccountName"] == "waypoint"
    (container,) = template["spec"]["containers"]
    assert (container["name"], container["command"]) == ("istio-proxy", ["waypoint", "serve"])
    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"}


def test_a_waypoint_is_told_where_spans_go(world_of):
    around = Surroundings(otlp_endpoint="http://collector:4317", trace_share=0.5)
    deployment = owned(world_of(GATEWAY), around)[2]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4317"
    assert environment["OTEL_TRACES_SAMPLER_ARG"] == "0.5"


def test_the_environment_says_who_and_where(world_of):
    around = Surroundings(xds_address="https://10.0.0.1:15012", cluster_id="c1", network="n1")
    deployment = owned(world_of(GATEWAY), around)[2]
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    plain = {one["name"]: one["value"] for one in environment if "value" in one}
    fields = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in environment if "valueFrom" in one}
    assert (plain["GATEWAY_NAME"], plain["XDS_ADDRESS"], plain["CLUSTER_ID"]) == (
        "waypoint",
        "https://10.0.0.1:15012",
        "c1",
    )
    assert fields == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "INSTANCE_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
    }


def test_every_object_passes_admission(objects, world_of):
    assert admission.check(yaml.safe_dump_all(objects.values()), "generated.yaml", world_of(GATEWAY)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("protocol: HBONE", "protocol: HTTP"),
        ("istio-waypoint", "nginx"),
        ("uid: u-1", "deletionTimestamp: 2026-01-01T00:00:00Z"),
    ],
)
def test_what_is_no_waypoint_or_is_going_owns_nothing(world_of, old: str, new: str):
    assert owned(world_of(GATEWAY.replace(old, new))) == []
