"""A lab as these scenarios use it: a server on one node, its callers on the other, and a load between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

STEADY: Final = str(Path(__file__).with_name("steady.py"))
NAMESPACE: Final = "steady"
PORT: Final = 7000
CLIENTS: Final = 32
ESTABLISHED: Final = 1000
PODS: Final = ("echo", "caller", "neighbour")
NODES: Final = ("node-1", "node-2")
WAITING: Final = 60.0

_POD: Final = """
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: steady, labels: {{app: {app}}}}}
spec:
  nodeName: {node}
  serviceAccountName: {app}
  terminationGracePeriodSeconds: {grace}
  containers:
  - {{name: main, command: {command}{probe}}}
"""
_PROBE: Final = f", readinessProbe: {{tcpSocket: {{port: {PORT}}}, periodSeconds: 1}}"
_SERVICE: Final = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: steady, labels: {{istio.io/dataplane-mode: ambient}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: echo, namespace: steady}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: caller, namespace: steady}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: neighbour, namespace: steady}}
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: steady}}
spec: {{selector: {{app: echo}}, ports: [{{name: tcp, port: {PORT}}}]}}
"""


class NeverCame(Exception):
    """What was waited for did not come in time."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a load tells at its end: see `steady.Counts`."""

    served: int
    refused: int
    established: int
    exchanges: int
    lost: int
    slowest: float
    why: list[str]


def server(name: str) -> str:
    """The manifest of a server that is behind the service `echo`."""
    command = json.dumps([sys.executable, STEADY, "serve", str(PORT)])
    return _POD.format(name=name, app="echo", node="node-2", grace=5, command=command, probe=_PROBE)


def caller(name: str) -> str:
    """The manifest of a pod to call from."""
    return _POD.format(name=name, app=name, node="node-1", grace=0, command='["sleep", "infinity"]', probe="")


NO_NEIGHBOURS: Final = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-neighbours, namespace: steady}
spec:
  selector: {matchLabels: {app: echo}}
  action: DENY
  rules: [{from: [{source: {principals: [cluster.local/ns/steady/sa/neighbour]}}]}]
"""
"""Denies a pod what it may otherwise."""

MANIFESTS: Final = _SERVICE + server("echo") + caller("caller") + caller("neighbour")
"""What has to be in the lab before the load starts."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """A lab that is up, by its name; `prefix` and `environment` say as whom its commands are given."""

    lab: str
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    releases: Path | None = None
    """A folder that everybody may enter, for other installed versions."""

    def meshctl(self, *words: str, given: str = "") -> str:
        """What `meshctl WORDS` says; raises CalledProcessError."""
        done = subprocess.run(
            self._command(words), input=given, capture_output=True, text=True, check=False, env=self._environment
        )
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)
            done.check_returncode()
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`meshctl WORDS` in the background, with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._command(words), stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=self._environment
        )

    def on_node(self, node: str, *command: str) -> str:
        """Run a command on a node."""
        return self.meshctl("lab", "exec", "--node", node, "--", *command)

    def once(self, pod: str, host: str = "echo") -> float:
        """Call once from a pod; how many seconds it took. Raises CalledProcessError if it is refused."""
        words = ("lab", "exec", pod, "-n", NAMESPACE, "--", sys.executable, STEADY, "once", host, str(PORT))
        return float(self.meshctl(*words))

    @contextmanager
    def load(self, pod: str = "caller", *, clients: int = CLIENTS, established: int = ESTABLISHED) -> Iterator[Load]:
        """Load from a pod to the service while the block runs; what became of it is told afterwards."""
        call = (sys.executable, STEADY, "call", "echo", str(PORT), str(clients), str(established))
        process = self.start("lab", "exec", pod, "-n", NAMESPACE, "--", *call)
        load = Load()
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "begun\n":
                raise NeverCame(f"the load did not begin: {process.communicate()}")
            yield load
            out, err = process.communicate("end\n", timeout=WAITING)
            try:
                load.told = Told(**json.loads(out))
            except ValueError as fault:
                raise NeverCame(f"the load told nothing: {out}{err}") from fault
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def served(self, pod: str) -> bool:
        """Whether a call from a pod is answered."""
        words = ("lab", "exec", pod, "-n", NAMESPACE, "--", sys.executable, STEADY, "once", "echo", str(PORT))
        done = subprocess.run(self._command(words), capture_output=True, check=False, env=self._environment)
        return not done.returncode

    def label(self, pod: str, label: str) -> None:
        """Set a label of a pod."""
        self.meshctl("lab", "label", "pod", pod, label, "-n", NAMESPACE)

    def apply(self, manifests: str) -> None:
        """Apply manifests."""
        self.meshctl("lab", "apply", "-f", "-", given=manifests)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        self.meshctl("lab", "delete", kind, name, "-n", NAMESPACE)

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> dict[str, Any] | None:
        """An object; None if there is none of this name."""
        listed = json.loads(self.meshctl("lab", "get", kind, "-n", namespace, "-o", "json"))
        items = listed["items"] if listed["kind"] == "List" else [listed]
        return next((one for one in items if one["metadata"]["name"] == name), None)

    def enrolled(self, pod: str) -> bool:
        """Whether a pod is marked as captured."""
        found = self.get("pods", pod) or {"metadata": {}}
        return "ambient.istio.io/redirection" in found["metadata"].get("annotations", {})

    def pids(self, part: str) -> set[int]:
        """The processes of the whole lab that are this part of ztunnel: `keeper`, `supervisor`, or a pod's worker.

        A pod has more than one worker while an old one drains.
        """
        return {int(pid) for pid in self.on_node("node-1", "sh", "-c", f"pgrep -x {f'zt-{part}'[:15]} || true").split()}

    def ready(self) -> bool:
        """Whether every node says so."""
        return all(self.readiness(node).startswith("ready") for node in NODES)

    def readiness(self, node: str) -> str:
        """What a node says on 15021; nothing if nobody listens there."""
        return self._ask(node, "15021/healthz/ready").strip()

    def metric(self, node: str, name: str) -> float | None:
        """A metric without labels, as a node shows it now; None if it does not."""
        lines = self._ask(node, "15020/metrics").splitlines()
        return next((float(line.split()[1]) for line in lines if line.split()[:1] == [name]), None)

    def version(self, node: str) -> str:
        """The version of a node's supervisor; nothing if there is none."""
        told = self._ask(node, "15000/config_dump")
        return str(json.loads(told)["version"]) if told else ""

    def wait(self, what: str, ready: Callable[[], object], seconds: float = WAITING) -> float:
        """Ask until it is so; how long that took. Raises NeverCame."""
        began = time.monotonic()
        while not ready():
            if time.monotonic() - began > seconds:
                raise NeverCame(f"{what}: not within {seconds:.0f} s\n{self.meshctl('lab', 'status')}")
            time.sleep(0.1)
        return time.monotonic() - began

    def _ask(self, node: str, where: str) -> str:
        return self.on_node(node, "sh", "-c", f"curl -sS --max-time 5 http://127.0.0.1:{where} 2>/dev/null || true")

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "meshctl", *words]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "AMBIT_LAB": self.lab, **self.environment}  # noqa: TID251 (passed on, not read)


class Load:
    """A load that runs; `told` is there when it has ended."""

    told: Told


@contextmanager
def lab(name: str) -> Iterator[Mesh]:
    """A lab of two nodes with all that the scenarios need; taken down at the end whatever happens."""
    with tempfile.TemporaryDirectory(prefix="ambit-releases-") as folder:
        Path(folder).chmod(0o755)
        mesh = Mesh(name, releases=Path(folder))
        try:
            mesh.meshctl("lab", "up", name, "-f", "-", "--nodes", "2", given=MANIFESTS)
            yield mesh
        finally:
            mesh.meshctl("lab", "down", name)
