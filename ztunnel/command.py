"""What `ztunnel upgrade` asks of the node's keeper, and what it answers: one JSON object a connection each way. Pure.

Strict: what is not exactly one of these is refused with the reason, and nothing is done.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final

LARGEST: Final = 1_048_576
"""Bytes of the longest answer; the keeper reads no request longer than `LARGEST_REQUEST`."""
LARGEST_REQUEST: Final = 8_192


class CommandError(ValueError):
    """Text that is none of these; it says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Go on as the ztunnel that is installed for this interpreter."""

    python: str


@dataclass(frozen=True, slots=True)
class Status:
    """Say how it stands."""


@dataclass(frozen=True, slots=True)
class Upgrading:
    """The keeper is about to become another release."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker of the node."""

    pod: str
    pid: int
    version: str
    generation: int
    stage: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the node stands."""

    version: str
    pending: tuple[str, ...]
    """What is awaited."""
    workers: tuple[WorkerSeen, ...]

    def settled(self, version: str) -> bool:
        """Whether nothing is awaited and this release serves every pod; old workers may still drain."""
        serving = all(one.version == version for one in self.workers if one.stage != "leaving")
        return self.version == version and not self.pending and serving


def encode(message: Upgrade | Status | Upgrading | Refused | Standing) -> bytes:
    """The text of a request or an answer."""
    return json.dumps({type(message).__name__: dataclasses.asdict(message)}).encode()


def parse_request(text: bytes) -> Upgrade | Status:
    """Read a request; raises CommandError."""
    name, fields = _parts(text)
    if name == "Status" and not fields:
        return Status()
    if name == "Upgrade" and fields.keys() == {"python"} and _is_path(fields["python"]):
        return Upgrade(fields["python"])
    raise CommandError("neither a request for the status nor for an upgrade to the ztunnel of an absolute path")


def parse_answer(text: bytes) -> Upgrading | Refused | Standing:
    """Read an answer; raises CommandError."""
    name, fields = _parts(text)
    try:
        match name:
            case "Upgrading":
                return Upgrading(str(fields["before"]), str(fields["after"]))
            case "Refused":
                return Refused(str(fields["why"]))
            case "Standing":
                workers = tuple(WorkerSeen(**one) for one in fields["workers"])
                return Standing(str(fields["version"]), tuple(map(str, fields["pending"])), workers)
    except (KeyError, TypeError) as fault:
        raise CommandError(f"{name} is not complete: {fault}") from fault
    raise CommandError(f"an answer of an unknown kind: {name}")


def _parts(text: bytes) -> tuple[str, dict[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise CommandError(f"no JSON: {fault}") from fault
    if not isinstance(document, dict) or len(document) != 1:
        raise CommandError("not one object with one name")
    ((name, fields),) = document.items()
    if not isinstance(fields, dict):
        raise CommandError(f"{name} has no fields")
    return name, fields


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value
