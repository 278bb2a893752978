"""The system's own part of a lab: istiod as an ordinary pod, and the account that node proxies speak for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshctl.lab.addressing import ISTIOD
from meshctl.lab.launch import Options
from meshctl.lab.place import Place
from meshctl.manifest import Body

NAMESPACE = "istio-system"
ISTIOD_PORT = 15012
ISTIOD_HOST = f"istiod.{NAMESPACE}.svc"
ROOT_CONFIG_MAP = "istio-ca-root-cert"
ZTUNNEL_ACCOUNT = "ztunnel"
TOKEN_AUDIENCE = "istio-ca"  # noqa: S105  (an audience, not a secret)
TOKEN_SECONDS = 12 * 3600

_READY_PORT = 15021
_HOME = "/run/istiod"


def system_objects(place: Place, options: Options) -> list[Body]:
    """Return istiod's ServiceAccount, Service and Deployment, and ztunnel's ServiceAccount."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata("istiod")},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(ZTUNNEL_ACCOUNT)},
        _service(),
        _deployment(place, options),
    ]


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}


def _service() -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata("istiod"),
        "spec": {
            "clusterIP": str(ISTIOD),
            "selector": {"app": "istiod"},
            "ports": [{"name": "grpc-xds", "port": ISTIOD_PORT, "targetPort": ISTIOD_PORT}],
        },
    }


def _deployment(place: Place, options: Options) -> Body:
    """Return istiod's Deployment: it reads and writes the lab's folders, which only its pod can see."""
    folders = {
        "objects": place.objects,
        "status": place.status,
        "generated": place.generated,
        "state": place.state,
        "token": place.jwks.parent,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata("istiod"),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app": "istiod"}},
            "template": {
                "metadata": {"labels": {"app": "istiod", "istio.io/dataplane-mode": "none"}},
                "spec": {
                    "serviceAccountName": "istiod",
                    "terminationGracePeriodSeconds": 5,
                    "containers": [_container(folders, options)],
                    "volumes": [{"name": name, "hostPath": {"path": str(path)}} for name, path in folders.items()],
                },
            },
        },
    }


def _container(folders: Mapping[str, Path], options: Options) -> Body:
    command = [
        "istiod-lite",
        "serve",
        *("--manifests", f"{_HOME}/objects", "--status", f"{_HOME}/status", "--generated", f"{_HOME}/generated"),
        *("--state", f"{_HOME}/state", "--token-jwks", f"{_HOME}/token/jwks.json"),
        *("--listen", f"0.0.0.0:{ISTIOD_PORT}", "--ready-listen", f"0.0.0.0:{_READY_PORT}"),
        *("--trust-domain", options.trust_domain),
        *("--otlp-endpoint", options.otlp, "--trace-share", str(options.trace_share)),
    ]
    read_only = {"objects", "token"}
    return {
        "name": "discovery",
        "image": "ambit/istiod-lite",
        "command": command,
        "ports": [{"name": "grpc-xds", "containerPort": ISTIOD_PORT}],
        "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": _READY_PORT}, "periodSeconds": 2},
        "volumeMounts": [
            {"name": name, "mountPath": f"{_HOME}/{name}", "readOnly": name in read_only} for name in folders
        ],
    }
