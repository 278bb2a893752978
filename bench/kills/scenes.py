"""What is done to the mesh while the load runs, and what became of the connections.

Every scene takes a lab as `mesh.MANIFESTS` makes it, and leaves it as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.kills.mesh import Mesh, Told

_AFTERWARDS: Final = 1.0
"""Seconds that the load goes on when all is as before."""
OWN_CLIENTS: Final = 4
OWN_ESTABLISHED: Final = 100
"""The load of a pod whose worker is killed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the load; the load is not that of the victim, where a single pod's worker is the victim."""

    name: str
    told: Told
    own: Told | None = None
    """That of the victim, where there is one: what it had open ends with it, what it opens next waits."""


Scene = Callable[[Mesh], Outcome]


def supervisors_killed(mesh: Mesh) -> Outcome:
    """kill -9 of the supervisors of all nodes."""
    return _under_load(mesh, "supervisor killed -9", lambda: _killed(mesh, lambda: mesh.pids("supervisor")))


def supervisors_restarted(mesh: Mesh) -> Outcome:
    """SIGTERM to the supervisors of all nodes; their keepers start others."""
    return _under_load(mesh, "supervisor restarted", lambda: _killed(mesh, lambda: mesh.pids("supervisor"), "TERM"))


def keepers_killed(mesh: Mesh) -> Outcome:
    """kill -9 of the keepers of all nodes; the next ones adopt what they left."""
    return _under_load(mesh, "keeper killed -9", lambda: _killed(mesh, lambda: mesh.pids("keeper")))


def worker_killed(mesh: Mesh) -> Outcome:
    """kill -9 of one pod's worker: its own connections end, nobody else's; its next one waits and is served."""
    with mesh.load() as everybody, mesh.load("neighbour", clients=OWN_CLIENTS, established=OWN_ESTABLISHED) as own:
        _killed(mesh, lambda: mesh.pids("neighbour"))
        mesh.wait("ready nodes", mesh.ready)
        time.sleep(_AFTERWARDS)
    return Outcome("worker killed -9", everybody.told, own.told)


SCENES: Final[tuple[Scene, ...]] = (supervisors_killed, supervisors_restarted, keepers_killed, worker_killed)


def _under_load(mesh: Mesh, name: str, deed: Callable[[], None]) -> Outcome:
    with mesh.load() as load:
        deed()
        mesh.wait("ready nodes", mesh.ready)
        time.sleep(_AFTERWARDS)
    return Outcome(name, load.told)


def _killed(mesh: Mesh, who: Callable[[], set[int]], how: str = "KILL") -> None:
    """End these processes, and wait until as many others are there."""
    victims = who()
    mesh.on_node("node-1", "kill", f"-{how}", *map(str, victims))
    mesh.wait("successors", lambda: len(who() - victims) == len(victims))
