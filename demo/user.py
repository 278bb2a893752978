"""The user at the terminal: every command of the demonstration goes through `meshctl`, as typed."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.stage import Stage

PROGRAM = Path(sys.executable).with_name("meshctl")


class CommandFailed(Exception):
    """A command that has to work did not; the text says what it printed."""


class NeverCame(Exception):
    """Something that was waited for did not come in time."""


@dataclass(frozen=True)
class Ended:
    """A finished command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class User:
    """Types commands for one lab."""

    stage: Stage
    lab: str

    def type(self, line: str, *, shown: bool = True, may_fail: bool = False, timeout: float = 60) -> Ended:
        """Run `meshctl LINE` to its end. Raises CommandFailed when it fails and may not."""
        words = shlex.split(line)
        if shown:
            self.stage.command(["meshctl", line])
        done = subprocess.run(self.command(words), capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode and not may_fail:
            raise CommandFailed(f"meshctl {line}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, line: str) -> subprocess.Popen[str]:
        """Run `meshctl LINE` in the background, with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(shlex.split(line)), stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def command(self, words: list[str]) -> list[str]:
        """The words to execute; which lab is meant is told as a user with several labs would tell it."""
        return ["env", f"AMBIT_LAB={self.lab}", str(PROGRAM), *words]

    def labs(self) -> list[str]:
        """The names of the labs that are up."""
        return [line.split()[0] for line in self.type("lab list", shown=False).out.splitlines()[1:] if line.strip()]

    def objects(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """The objects of a kind, as stored."""
        told = json.loads(self.type(f"get {kind} -n {namespace} -o json", shown=False).out)
        items: list[dict[str, Any]] = told.get("items", [told])
        return items

    def wait(self, what: str, ready: Callable[[], bool], seconds: float = 20) -> float:
        """Ask until it is so; how long that took. Raises NeverCame."""
        began = time.monotonic()
        while not ready():
            if time.monotonic() - began > seconds:
                raise NeverCame(f"{what}: not within {seconds:.0f} s")
            time.sleep(0.1)
        return time.monotonic() - began
