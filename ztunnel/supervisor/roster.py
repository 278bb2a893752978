"""The workers of this node, as the keeper tells: which process serves which pod. Nobody else gets an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ztunnel.worker.start import Pod


@dataclass(frozen=True, slots=True)
class Entry:
    """One worker: its pod, and the process and user that the kernel will name for its connection."""

    pod: Pod
    pid: int
    uid: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker that ended."""

    pid: int


@dataclass(frozen=True, slots=True)
class Awaited:
    """What the keeper still waits for, in words."""

    parts: tuple[str, ...]


class Roster:
    """Who may speak to the supervisor, as which pod, and who does."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._present: dict[int, Entry] = {}
        self.awaited: tuple[str, ...] = ("the keeper has told nothing yet",)
        """What the keeper still waits for."""
        self.noted: Callable[[], None] = _nothing
        """Called after everything the keeper tells."""

    def note(self, line: Entry | Gone | Awaited) -> None:
        """Take in what the keeper told."""
        if isinstance(line, Awaited):
            self.awaited = line.parts
        elif isinstance(line, Gone):
            self._entries.pop(line.pid, None)
        else:
            self._entries[line.pid] = line
        self.noted()

    def entry(self, pid: int, uid: int) -> Entry | None:
        """The worker with this process and user; None for anybody else."""
        found = self._entries.get(pid)
        return found if found is not None and found.uid == uid else None

    @contextmanager
    def speaking(self, entry: Entry) -> Iterator[None]:
        """The worker is connected while the block runs."""
        self._present[entry.pid] = entry
        try:
            yield
        finally:
            self._present.pop(entry.pid, None)

    def entries(self) -> tuple[Entry, ...]:
        """All workers, in the order of their pods."""
        return tuple(sorted(self._entries.values(), key=lambda one: (one.pod.namespace, one.pod.name, one.pid)))

    def present(self) -> tuple[Entry, ...]:
        """Those that are connected."""
        return tuple(one for one in self.entries() if one.pid in self._present)

    def absent(self) -> tuple[Entry, ...]:
        """Those that are not connected."""
        return tuple(one for one in self.entries() if one.pid not in self._present)


def read_line(line: str | bytes) -> Entry | Gone | Awaited:
    """Read one line of the keeper's. Raises ValueError."""
    try:
        told = json.loads(line)
        if "pending" in told:
            return Awaited(tuple(str(part) for part in told["pending"]))
        if "gone" in told:
            return Gone(int(told["gone"]["pid"]))
        one = told["worker"]
        pod = Pod(str(one["pod_uid"]), str(one["name"]), str(one["namespace"]), str(one["service_account"]))
        return Entry(pod, int(one["pid"]), int(one["uid"]))
    except (KeyError, TypeError) as fault:
        raise ValueError(f"the keeper told something unknown: {line!r}") from fault


def _nothing() -> None:
    return
