"""Waypoints on demand: the objects that a Gateway of a waypoint class owns.

Named and labelled as Istio does it, so that tools which know its waypoints know ours. Whoever drives this creates
what is listed and deletes what no longer is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from istiod_lite.compile.waypoints import (
    GATEWAY_NAME_LABEL,
    HBONE_PORT,
    MANAGED_BY_US,
    MANAGED_LABEL,
    acceptance,
    is_waypoint_class,
)
from istiod_lite.facts import Gateway

if TYPE_CHECKING:
    from istiod_lite.world import World

_STATUS_PORT: Final = 15021
_METRICS_PORT: Final = 15020
_CLASS_LABEL: Final = "gateway.networking.k8s.io/gateway-class-name"
_TOKENS: Final = "/var/run/secrets/tokens"
_ROOT: Final = "/var/run/secrets/istio"
_TOKEN_SECONDS: Final = 43200

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a waypoint must be told about its mesh. Addresses are URLs; `xds_hostname` is what the certificate says."""

    xds_address: str = "https://istiod.istio-system.svc:15012"
    xds_hostname: str = "istiod.istio-system.svc"
    trust_domain: str = "cluster.local"
    cluster_id: str = "Kubernetes"
    network: str = ""
    image: str = "ambit/waypoint"
    otlp_endpoint: str = ""
    trace_share: float = 0.01


def owned(world: World, surroundings: Surroundings | None = None) -> list[Manifest]:
    """The objects of all waypoints, those of one Gateway together. A Gateway that is not accepted owns nothing."""
    around = surroundings or Surroundings()
    return [
        manifest
        for gateway in world.all(Gateway)
        if is_waypoint_class(world, gateway.gateway_class)
        and acceptance(gateway).accepted
        and not gateway.meta.deleting
        for manifest in objects_of(gateway, around)
    ]


def objects_of(gateway: Gateway, around: Surroundings) -> list[Manifest]:
    """The ServiceAccount, Service and Deployment of one waypoint."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(gateway)},
        _service(gateway),
        _deployment(gateway, around),
    ]


def _metadata(gateway: Gateway) -> Manifest:
    """The name, labels and owner that all objects of a waypoint bear; infrastructure labels never replace our own."""
    metadata: Manifest = {
        "name": gateway.meta.name,
        "namespace": gateway.meta.namespace,
        "labels": dict(gateway.labels) | _labels(gateway),
        "ownerReferences": [
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "name": gateway.meta.name,
                "uid": gateway.meta.uid,
                "controller": True,
            }
        ],
    }
    if gateway.annotations:
        metadata["annotations"] = dict(gateway.annotations)
    return metadata


def _labels(gateway: Gateway) -> dict[str, str]:
    return {
        GATEWAY_NAME_LABEL: gateway.meta.name,
        _CLASS_LABEL: gateway.gateway_class,
        MANAGED_LABEL: MANAGED_BY_US,
    }


def _service(gateway: Gateway) -> Manifest:
    metadata = _metadata(gateway)
    annotations: dict[str, str] = metadata.get("annotations", {})
    metadata["annotations"] = {"networking.istio.io/traffic-distribution": "PreferClose"} | annotations
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "ClusterIP",
            "ipFamilyPolicy": "PreferDualStack",
            "selector": {GATEWAY_NAME_LABEL: gateway.meta.name},
            "ports": [
                {"name": "status-port", "port": _STATUS_PORT, "protocol": "TCP", "appProtocol": "tcp"},
                {"name": "mesh", "port": HBONE_PORT, "protocol": "TCP", "appProtocol": "hbone"},
            ],
        },
    }


def _deployment(gateway: Gateway, around: Surroundings) -> Manifest:
    name = gateway.meta.name
    pod_labels = dict(gateway.labels) | _labels(gateway) | {
        "istio.io/dataplane-mode": "none",
        "sidecar.istio.io/inject": "false",
        "service.istio.io/canonical-name": name,
        "service.istio.io/canonical-revision": "latest",
    }  # fmt: skip
    pod_annotations = dict(gateway.annotations) | {
        "prometheus.io/path": "/stats/prometheus",
        "prometheus.io/port": str(_METRICS_PORT),
        "prometheus.io/scrape": "true",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(gateway),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {GATEWAY_NAME_LABEL: name}},
            "template": {
                "metadata": {"labels": pod_labels, "annotations": pod_annotations},
                "spec": {
                    "serviceAccountName": name,
                    "terminationGracePeriodSeconds": 30,
                    "containers": [_container(gateway, around)],
                    "volumes": _volumes(),
                },
            },
        },
    }


def _container(gateway: Gateway, around: Surroundings) -> Manifest:
    return {
        "name": "istio-proxy",
        "image": around.image,
        "command": ["waypoint", "serve"],
        "env": _environment(gateway, around),
        "ports": [
            {"name": "metrics", "containerPort": _METRICS_PORT, "protocol": "TCP"},
            {"name": "status-port", "containerPort": _STATUS_PORT, "protocol": "TCP"},
            {"name": "mesh", "containerPort": HBONE_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready", "port": _STATUS_PORT, "scheme": "HTTP"},
            "periodSeconds": 1,
            "failureThreshold": 4,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": 1337,
            "runAsNonRoot": True,
            "runAsUser": 1337,
        },
        "volumeMounts": [
            {"name": "istio-token", "mountPath": _TOKENS, "readOnly": True},
            {"name": "istiod-ca-cert", "mountPath": _ROOT, "readOnly": True},
        ],
    }


def _environment(gateway: Gateway, around: Surroundings) -> list[Manifest]:
    of_pod = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "INSTANCE_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
    }
    plain = {
        "GATEWAY_NAME": gateway.meta.name,
        "XDS_ADDRESS": around.xds_address,
        "CA_ADDRESS": around.xds_address,
        "XDS_ROOT_CA": f"{_ROOT}/root-cert.pem",
        "ALT_XDS_HOSTNAME": around.xds_hostname,
        "AUTH_TOKEN": f"{_TOKENS}/istio-token",
        "TRUST_DOMAIN": around.trust_domain,
        "CLUSTER_ID": around.cluster_id,
        "NETWORK": around.network,
    }
    if around.otlp_endpoint:
        plain |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": around.otlp_endpoint,
            "OTEL_TRACES_SAMPLER_ARG": str(around.trace_share),
        }
    references = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in of_pod.items()]
    return [*references, *({"name": name, "value": value} for name, value in plain.items())]


def _volumes() -> list[Manifest]:
    token = {"path": "istio-token", "audience": "istio-ca", "expirationSeconds": _TOKEN_SECONDS}
    return [
        {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
    ]
