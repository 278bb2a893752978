"""The shop as the demonstration drives it: requests from its pods, and what crosses the link meanwhile."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.user import CommandFailed, User

FOLDER = Path(__file__).resolve().parent
EXAMPLES = FOLDER.parent / "examples" / "shop"

CLIENT = "client -n shop"
INTRUDER = "intruder -n outside"


@dataclass
class Counted:
    """What a load counted; see examples/shop/load.py."""

    requests: int
    answers: dict[str, int]
    by: dict[str, int]
    history: list[tuple[str, int, float, float]]
    median_ms: float
    slowest_ms: float
    last: dict[str, Any]

    @property
    def bad(self) -> int:
        """How many requests did not get 200."""
        return self.requests - self.answers.get("200", 0)

    def __str__(self) -> str:
        """The answers, most frequent first."""
        kinds = sorted(self.answers.items(), key=lambda item: -item[1])
        return ", ".join(f"{number} x {what}" for what, number in kinds)


@dataclass
class Load:
    """Requests under way."""

    process: subprocess.Popen[str]

    def end(self, timeout: float = 60) -> Counted:
        """Wait for the last one. Raises CommandFailed when the load itself could not run."""
        out, err = self.process.communicate(timeout=timeout)
        if self.process.returncode:
            raise CommandFailed(f"the load ended with {self.process.returncode}\n{out}{err}")
        return Counted(**json.loads(out))


@dataclass
class Link:
    """What crossed a node's link while it was watched; see wire.py."""

    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def marker(self) -> int:
        """How many segments carried the marker in clear text."""
        return int(self.seen["marker"])

    def port(self, number: int) -> dict[str, Any]:
        """What was seen on a port."""
        found: dict[str, Any] = self.seen["ports"].get(str(number), {})
        return found

    @property
    def excerpts(self) -> list[str]:
        """Lines with the marker, with the port they went to."""
        return [f"port {number}: {port['excerpt']}" for number, port in self.seen["ports"].items() if port["marker"]]


@dataclass(frozen=True)
class Shop:
    """Requests between the shop's pods."""

    user: User

    def start(self, url: str, options: str = "-n 1", pod: str = CLIENT, *, shown: bool = False) -> Load:
        """Begin to send requests from a pod; returns when the first one is under way."""
        line = f"exec {pod} -- python load.py {shlex.quote(url)} {options}"
        if shown:
            self.user.stage.command(["meshctl", line])
        load = Load(self.user.start(f"{line} --json"))
        assert load.process.stderr is not None
        if not (first := load.process.stderr.readline()).startswith("sending"):
            raise CommandFailed(first + load.process.communicate()[1])
        return load

    def ask(self, url: str, options: str = "-n 1", pod: str = CLIENT, *, shown: bool = True) -> Counted:
        """Send requests from a pod and wait for their end."""
        return self.start(url, options, pod, shown=shown).end()

    @contextmanager
    def watch(self, node: str, marker: str) -> Iterator[Link]:
        """Read everything on a node's link until the block ends."""
        wire = shlex.quote(str(FOLDER / "wire.py"))
        reader = self.user.start(f"exec --node {node} -- {sys.executable} {wire} --marker {marker}")
        assert reader.stdout is not None
        link = Link()
        try:
            if reader.stdout.readline().strip() != "listening":
                raise CommandFailed(f"cannot read node {node}'s link\n{reader.communicate()[1]}")
            yield link
        finally:
            out, _ = reader.communicate(timeout=10)
        link.seen.update(json.loads(out))
