"""All scenes in a row: `python -m bench.kills.table` prints what became of the connections."""

from __future__ import annotations

import sys

from bench.kills.mesh import Told, lab
from bench.kills.scenes import SCENES, Outcome

HEAD = ("event", "new", "refused", "established", "lost", "slowest new, s")


def outcomes(name: str = "kills") -> list[Outcome]:
    """Play every scene in one lab."""
    with lab(name) as mesh:
        found = []
        for scene in SCENES:
            found.append(scene(mesh))
            print(found[-1], file=sys.stderr)
        return found


def rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """The lines of one scene: everybody's load, then that of the victim, where there is one."""
    found = [_row(outcome.name, outcome.told)]
    if outcome.own is not None:
        found.append(_row(f"{outcome.name}: that pod's own", outcome.own))
    return found


def _row(name: str, told: Told) -> tuple[str, ...]:
    counts = (told.served + told.refused, told.refused, told.established, told.lost)
    return (name, *map(str, counts), f"{told.slowest:.2f}")


def markdown(found: list[Outcome]) -> str:
    """The table, for documents and terminals alike."""
    lines = [HEAD, ("---",) * len(HEAD), *(row for one in found for row in rows(one))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(markdown(outcomes()))
