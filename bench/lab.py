"""The lab in which everything is measured, asked through `meshctl` as any user would ask it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_PATIENCE: Final = 60.0
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod by name."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Process:
    """A proxy's process: CPU seconds so far, memory in bytes."""

    name: str
    cpu_seconds: float
    rss: int
    pss: int
    private: int


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is up."""

    name: str

    def run(self, pod: Pod, command: Sequence[str]) -> str:
        """Run a command in a pod and give its output; SystemExit if it fails."""
        return self.meshctl("exec", pod.name, "-n", pod.namespace, "--", *command)

    def script(self, pod: Pod, name: str, *arguments: str) -> str:
        """Run one of the scripts in this directory in a pod."""
        return self.run(pod, (sys.executable, str(_HERE / name), *arguments))

    @contextmanager
    def running(self, pod: Pod, command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """Run a command in a pod beside the block, with pipes; who leaves the block without waiting for it, ends it."""
        whole = [*_command("exec", pod.name, "-n", pod.namespace), "--", *command]
        pipe = subprocess.PIPE
        with subprocess.Popen(whole, stdin=pipe, stdout=pipe, text=True, env=self._environment()) as process:
            try:
                yield process
            finally:
                process.terminate()

    def processes(self, marks: Sequence[str]) -> dict[str, Process]:
        """By pid, the processes whose name begins with one of the marks, or whose command line has it."""
        probe = (sys.executable, str(_HERE / "probe.py"), *marks)
        said = json.loads(self.meshctl("exec", "--node", "node-1", "--", *probe))
        return {pid: Process(**one) for pid, one in said.items()}

    def cpu_seconds(self, marks: Sequence[str]) -> float:
        """CPU that these processes have used so far, all together."""
        return sum(one.cpu_seconds for one in self.processes(marks).values())

    def address(self, pod: Pod) -> str:
        """A pod's IP address."""
        return str(self.get("pod", pod.namespace, pod.name)["status"]["podIP"])

    def get(self, kind: str, namespace: str, name: str = "") -> dict[str, Any]:
        """An object, or a list of them."""
        said = self.meshctl("get", kind, *([name] if name else []), "-n", namespace, "-o", "json")
        found: dict[str, Any] = json.loads(said)
        return found

    def apply(self, manifests: str) -> None:
        """Apply manifests and wait until all is ready."""
        self.meshctl("apply", "--wait", "-f", "-", given=manifests)

    def label(self, kind: str, name: str, label: str, namespace: str = "default") -> None:
        """Set one label, or take it away."""
        self.meshctl("label", kind, name, label, "-n", namespace)

    def on_node(self, *command: str) -> str:
        """Run a command in a node's network, with the lab's own rights."""
        return self.meshctl("exec", "--node", "node-1", "--", *command)

    def meshctl(self, *words: str, given: str = "") -> str:
        """Run `meshctl lab WORDS` and give its output; SystemExit if it fails."""
        done = subprocess.run(
            _command(*words), input=given, capture_output=True, text=True, check=False, env=self._environment()
        )
        if done.returncode:
            raise SystemExit(f"meshctl lab {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def wait(self, until: str, pod: Pod, command: Sequence[str]) -> None:
        """Repeat a command in a pod until it succeeds; SystemExit when `until` does not come."""
        deadline = time.monotonic() + _PATIENCE
        while subprocess.run(
            [*_command("exec", pod.name, "-n", pod.namespace), "--", *command],
            capture_output=True,
            check=False,
            env=self._environment(),
        ).returncode:
            if time.monotonic() > deadline:
                raise SystemExit(f"{until} did not come within {_PATIENCE:g} s")
            time.sleep(0.1)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "AMBIT_LAB": self.name}  # noqa: TID251 (passed on, not read)


@contextmanager
def lab(manifests: str, *, nodes: int = 2) -> Iterator[Lab]:
    """Bring a lab up, and down at the end whatever happens."""
    made = Lab(f"bench-{os.getpid()}")
    try:
        made.meshctl("up", made.name, "-f", "-", "--nodes", str(nodes), "--timeout", "300", given=manifests)
        yield made
    finally:
        made.meshctl("down", made.name)


def _command(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("meshctl")), "lab", *words]
