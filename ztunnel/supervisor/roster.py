"""The workers of this node, as the keeper tells: which process serves which pod. Nobody else gets an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mesh.snapshot import Snapshot
from mesh.workload import Workload
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


class Roster:
    """Who may speak to the supervisor, and as which pod."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}

    def note(self, line: Entry | Gone) -> None:
        """Take in what the keeper told."""
        if isinstance(line, Gone):
            self._entries.pop(line.pid, None)
        else:
            self._entries[line.pid] = line

    def entry(self, pid: int, uid: int) -> Entry | None:
        """The worker with this process and user; None for anybody else."""
        found = self._entries.get(pid)
        return found if found is not None and found.uid == uid else None

    def entries(self) -> tuple[Entry, ...]:
        """All workers, in the order of their pods."""
        return tuple(sorted(self._entries.values(), key=lambda one: (one.pod.namespace, one.pod.name, one.pid)))


def read_line(line: str | bytes) -> Entry | Gone:
    """Read one line of the keeper's. Raises ValueError."""
    try:
        told = json.loads(line)
        if "gone" in told:
            return Gone(int(told["gone"]["pid"]))
        one = told["worker"]
        pod = Pod(str(one["pod_uid"]), str(one["name"]), str(one["namespace"]), str(one["service_account"]))
        return Entry(pod, int(one["pid"]), int(one["uid"]))
    except (KeyError, TypeError) as fault:
        raise ValueError(f"the keeper told something unknown: {line!r}") from fault


def own_workload(snapshot: Snapshot, pod: Pod, cluster_id: str) -> Workload | None:
    """The workload of a pod on this node, if the mesh knows it with the same service account."""
    found = snapshot.workloads.get(f"{cluster_id}//Pod/{pod.namespace}/{pod.name}")
    return found if found is not None and found.service_account == pod.service_account else None
