"""A lab as tests use it: brought up by the real program, asked through it, and always taken down.

    def test_something(lab: MakeLab) -> None:
        there = lab(MANIFESTS, bare=True)
        assert there.exec("client", "curl", "-s", "http://web/").out == "hello"

The fixture `lab` is in tests/netns/conftest.py.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

FOLDER = Path(__file__).resolve().parent
WAITING = 20.0
AS_ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""Runs a command as somebody who is not root, with the files of whoever runs the tests."""


@dataclass(frozen=True)
class Ended:
    """A finished command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Lab:
    """One lab that is up."""

    name: str
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def meshctl(self, *words: str, given: str = "", code: int | None = 0, seconds: float = 60) -> Ended:
        """Run `meshctl WORDS` with `given` as its input; it has to end with `code`, unless that is None."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "meshctl", *words],
            input=given,
            capture_output=True,
            text=True,
            cwd=FOLDER,
            env=self.full_environment,
            timeout=seconds,
            check=False,
        )
        ended = Ended(done.returncode, done.stdout, done.stderr)
        assert code is None or ended.code == code, ended
        return ended

    @property
    def full_environment(self) -> dict[str, str]:
        """What commands for this lab are run with."""
        return {**os.environ, "AMBIT_LAB": self.name, **self.environment}  # noqa: TID251

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run `meshctl WORDS` in the background, with pipes."""
        command = [*self.prefix, sys.executable, "-m", "meshctl", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=FOLDER, env=self.full_environment
        )

    def up(self, manifests: str, *options: str, code: int | None = 0) -> Ended:
        """Bring it up; containers that name no folder start in the folder of the tests."""
        return self.meshctl("lab", "up", self.name, "-f", "-", *options, given=manifests, code=code)

    def apply(self, manifests: str, code: int | None = 0) -> Ended:
        """Apply manifests."""
        return self.meshctl("lab", "apply", "-f", "-", given=manifests, code=code)

    def delete(self, kind: str, name: str, namespace: str = "default") -> Ended:
        """Delete an object."""
        return self.meshctl("lab", "delete", kind, name, "-n", namespace)

    def label(self, kind: str, name: str, *labels: str, namespace: str = "default") -> Ended:
        """Set labels."""
        return self.meshctl("lab", "label", kind, name, *labels, "-n", namespace)

    def get(self, kind: str, namespace: str = "default", name: str = "") -> list[dict[str, Any]]:
        """Return objects with their status."""
        told = json.loads(
            self.meshctl("lab", "get", kind, *([name] if name else []), "-n", namespace, "-o", "json").out
        )
        items: list[dict[str, Any]] = told["items"] if told["kind"] == "List" else [told]
        return items

    def pods(self, app: str, namespace: str = "default") -> list[dict[str, Any]]:
        """Return the pods with the label app=APP that are not going."""
        return [
            pod
            for pod in self.get("pods", namespace)
            if pod["metadata"].get("labels", {}).get("app") == app and "deletionTimestamp" not in pod["metadata"]
        ]

    def exec(
        self,
        pod: str,
        *command: str,
        namespace: str = "default",
        options: Sequence[str] = (),
        code: int | None = 0,
        given: str = "",
    ) -> Ended:
        """Run a command in a pod."""
        return self.meshctl("lab", "exec", *options, pod, "-n", namespace, "--", *command, given=given, code=code)

    def on_node(self, node: str, *command: str, code: int | None = 0) -> Ended:
        """Run a command in a node's network."""
        return self.meshctl("lab", "exec", "--node", node, "--", *command, code=code)

    def logs(self, of: str, *options: str, namespace: str = "default") -> str:
        """Return a log."""
        return self.meshctl("lab", "logs", of, "-n", namespace, *options).out

    def wait(self, until: Callable[[], object], what: str = "", seconds: float = WAITING) -> None:
        """Ask until it is so. Fails, saying what did not come, after `seconds`."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, f"{what or until} did not come in {seconds} s\n{self.account()}"
            time.sleep(0.05)

    def account(self) -> str:
        """Return what there is to see of the lab, for messages of failed tests."""
        return self.meshctl("lab", "status", code=None).out + self.meshctl("lab", "logs", "lab", code=None).out

    def down(self) -> None:
        """End it."""
        self.meshctl("lab", "down", self.name)


class MakeLab(Protocol):
    """The fixture `lab`: `lab(manifests, bare=True, nodes=2, user=False, dual=False)` brings one up."""

    def __call__(
        self,
        manifests: str,
        *options: str,
        bare: bool = False,
        nodes: int = 2,
        user: bool = False,
        dual: bool = False,
    ) -> Lab:
        """Bring a lab up, with more options of `lab up` if need be, and return it when everything is ready."""


def unused_name() -> str:
    """Return a name that no lab has."""
    return f"t-{secrets.token_hex(4)}"


def new_lab(runtime: Path, *, user: bool = False) -> Lab:
    """Return a lab that is not up yet, with a name that no other has; `runtime` is for an ordinary user's files."""
    name = unused_name()
    if user and os.geteuid() == 0:
        return Lab(name, AS_ORDINARY_USER, {"XDG_RUNTIME_DIR": str(runtime)})
    return Lab(name, (), {"XDG_RUNTIME_DIR": str(runtime)})
