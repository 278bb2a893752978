"""What the project means to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.table import Result


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of the ratio to the peer, or of our own figure where there is nothing to compare it with."""

    bound: float
    absolute: bool = False

    def met(self, result: Result) -> bool:
        """Whether the medians reach it."""
        value = result.ours if self.absolute else result.ratio
        return value >= self.bound if result.better == "higher" else value <= self.bound

    def told(self, result: Result) -> str:
        """In a few words."""
        way = ">=" if result.better == "higher" else "<="
        return f"{way} {self.bound:g}" + (f" {result.unit}" if self.absolute else "")


_NOBODY: Final = Goal(0, absolute=True)

GOALS: Final = {
    "l4.bulk.1": Goal(1.2),
    "l4.bulk.8": Goal(1.3),
    "l4.cpu_per_gb": Goal(0.8),
    "l4.rtt.p50": Goal(1.1),
    "l4.rtt.p99": Goal(1.5),
    "l4.rps.32": Goal(1.1),
    "l4.cpu_per_request": Goal(0.9),
    "l4.connections.per_second": Goal(1.4),
    "l4.handshakes.per_second": Goal(1.0),
    "l4.rss.1000": Goal(0.4),
    "worker.private_memory": Goal(6, absolute=True),
    "l4.passthrough.bulk.1": Goal(0.9),
    "l4.passthrough.rps.32": Goal(0.9),
    "l4.passthrough.connections.per_second": Goal(0.9),
    "l4.beside_bulk.same_connection.added_p99": Goal(5, absolute=True),
    "l4.beside_bulk.other_pod.added_p99": Goal(5, absolute=True),
    "kills.worker_killed.own_wait": Goal(1, absolute=True),
}


def goal_of(name: str) -> Goal | None:
    """The goal of a measure; of every kill it is that nobody else notices."""
    if name.startswith("kills.") and name.endswith((".refused", ".lost")):
        return _NOBODY
    return GOALS.get(name)
