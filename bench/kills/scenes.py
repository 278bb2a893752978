"""What is done to the mesh while the load runs, and what became of the connections.

Every scene takes a lab as `mesh.MANIFESTS` makes it, and leaves it as it was; upgrades leave another version.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.kills import another
from bench.kills.mesh import NO_NEIGHBOURS, NODES, PODS, Mesh, NeverCame, Told, server

_AFTERWARDS: Final = 1.0
"""Seconds that the load goes on when all is as before."""
_BESIDE, _OVER = "0.2.0", "0.3.0"
"""Versions to upgrade to."""
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


def upgraded(mesh: Mesh) -> Outcome:
    """`ztunnel upgrade` on every node, to a version installed beside the running one: keeper, supervisor, workers."""
    program = str(another.install(_release(mesh), _BESIDE))
    return _replaced(mesh, "all upgraded by command", _BESIDE, lambda: mesh.meshctl("lab", "upgrade", program))


def upgraded_in_place(mesh: Mesh) -> Outcome:
    """Another version is installed over the running one, that of `upgraded`; every node notices by itself."""
    return _replaced(
        mesh, "all upgraded in place", _OVER, lambda: another.rename(another.libraries(_release(mesh)), _OVER)
    )


def istiod_away(mesh: Mesh) -> Outcome:
    """Istiod goes, a policy changes meanwhile, istiod comes back and the change is in force."""

    def deed() -> None:
        _scale_istiod(mesh, 0)
        mesh.wait("the gauge at 0", lambda: _connected(mesh) == {0})
        mesh.apply(NO_NEIGHBOURS)
        time.sleep(_AFTERWARDS)
        if not (mesh.ready() and mesh.served("neighbour")):
            raise NeverCame("without istiod the mesh does not serve as before")
        _scale_istiod(mesh, 1)
        mesh.wait("the gauge at 1", lambda: _connected(mesh) == {1})
        mesh.wait("the new policy", lambda: not mesh.served("neighbour"))
        mesh.delete("authorizationpolicy", "no-neighbours")

    return _under_load(mesh, "istiod away and back", deed)


def caller_leaves_and_returns(mesh: Mesh) -> Outcome:
    """The pod that calls is unenrolled and enrolled again."""
    return _moved(mesh, "caller unenrolled, enrolled", "caller")


def server_leaves_and_returns(mesh: Mesh) -> Outcome:
    """The pod that is called is unenrolled and enrolled again."""
    return _moved(mesh, "server unenrolled, enrolled", "echo")


def server_deleted(mesh: Mesh) -> Outcome:
    """One of two servers is made, and deleted."""
    with mesh.load(established=0) as load:
        mesh.apply(server("echo-2"))
        mesh.wait("the second server", lambda: mesh.enrolled("echo-2") and mesh.ready())
        time.sleep(2 * _AFTERWARDS)
        mesh.delete("pod", "echo-2")
        mesh.wait("its end", lambda: mesh.get("pods", "echo-2") is None)
        time.sleep(_AFTERWARDS)
    return Outcome("server created, deleted", load.told)


SCENES: Final[tuple[Scene, ...]] = (
    supervisors_killed,
    supervisors_restarted,
    keepers_killed,
    worker_killed,
    istiod_away,
    caller_leaves_and_returns,
    server_leaves_and_returns,
    server_deleted,
    upgraded,
    upgraded_in_place,
)
"""In this order: the last ones leave another version at work."""


def _moved(mesh: Mesh, name: str, pod: str) -> Outcome:
    """Connections of its own that live when it goes are ended after a while; so there are none here."""
    with mesh.load(established=0) as load:
        for value, enrolled in (("none", False), ("ambient", True)):
            mesh.label(pod, f"istio.io/dataplane-mode={value}")
            mesh.wait(f"{pod} {value}", lambda enrolled=enrolled: mesh.enrolled(pod) == enrolled)
            time.sleep(2 * _AFTERWARDS)
        mesh.wait("ready nodes", mesh.ready)
    return Outcome(name, load.told)


def _replaced(mesh: Mesh, name: str, version: str, deed: Callable[[], object]) -> Outcome:
    """Every worker is to be another, and the old ones are to be gone once their connections are."""
    before = {pod: mesh.pids(pod) for pod in PODS}

    def upgrade() -> None:
        deed()
        mesh.wait(f"version {version}", lambda: {mesh.version(node) for node in NODES} == {version})
        mesh.wait("new workers", lambda: all(mesh.pids(pod) - before[pod] for pod in PODS))

    outcome = _under_load(mesh, name, upgrade)
    mesh.wait("the end of the old workers", lambda: not any(mesh.pids(pod) & before[pod] for pod in PODS))
    return outcome


def _release(mesh: Mesh) -> Path:
    if mesh.releases is None:
        raise NeverCame("this lab has no place for other versions")
    return mesh.releases / "another"


def _scale_istiod(mesh: Mesh, replicas: int) -> None:
    found = mesh.get("deployments", "istiod", "istio-system")
    if found is None:
        raise NeverCame("a lab without istiod")
    mesh.apply(json.dumps({**found, "spec": {**found["spec"], "replicas": replicas}}))


def _connected(mesh: Mesh) -> set[float | None]:
    return {mesh.metric(node, "ambit_istiod_connected") for node in NODES}


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
