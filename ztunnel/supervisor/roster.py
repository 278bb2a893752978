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
    """Read one line of the keeper's: nothing missing, nothing besides, each of its type. Raises ValueError."""
    try:
        match json.loads(line):
            case {"pending": [*parts], **most} if not most and all(isinstance(part, str) for part in parts):
                return Awaited(tuple(map(str, parts)))
            case {"gone": {"pid": int(pid), **more}, **most} if not more and not most:
                return Gone(_number(pid))
            case {
                "worker": {
                    "pod_uid": str(pod_uid),
                    "name": str(name),
                    "namespace": str(namespace),
                    "service_account": str(account),
                    "pid": int(pid),
                    "uid": int(uid),
                    **more,
                },
                **most,
            } if not more and not most:
                return Entry(Pod(pod_uid, name, namespace, account), _number(pid), _number(uid))
    except (ValueError, RecursionError) as fault:
        raise ValueError(f"the keeper told something unreadable: {fault}") from None
    raise ValueError(f"the keeper told something unknown: {line[:200]!r}")


def _number(found: int) -> int:
    if isinstance(found, bool) or found < 0:
        raise ValueError(f"{found} is no process and no user")
    return found


def _nothing() -> None:
    return
