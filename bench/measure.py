"""What is measured, on whom, how often: figures of two sides, taken in turn, round by round."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from bench.lab import Lab, Pod
from bench.table import Result, result

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a figure is: its name below the comparison's, its unit, and which way is better."""

    name: str
    unit: str
    better: Better


@dataclass(frozen=True, slots=True)
class Side:
    """One of those under test: where its load comes from, where that goes, and which processes do the work."""

    name: str
    client: Pod
    iperf: tuple[str, int]
    redis: tuple[str, int]
    processes: tuple[str, ...]
    """Marks of the proxies' processes: beginnings of their names, or parts of their command lines."""
    beside: Side | None = None
    """Another pair of pods with proxies of the same make, for what one pod's load does to another."""


Taker = Callable[[Lab, Side], Mapping[str, float]]
"""Takes its figures once on one side: by the names of their kinds."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A load that is put on a side, and the figures that come of it."""

    kinds: tuple[Kind, ...]
    take: Taker


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same measures on our side and on a peer's, under names that begin alike."""

    prefix: str
    ours: Side
    peer: Side
    measures: tuple[Measure, ...]

    def wanted(self, only: Sequence[str]) -> Comparison:
        """This comparison with no more measures than those of which some name begins as asked; all if none is."""
        kept = tuple(one for one in self.measures if any(asked(self.prefix + kind.name, only) for kind in one.kinds))
        return Comparison(self.prefix, self.ours, self.peer, kept)


def asked(name: str, only: Sequence[str]) -> bool:
    """Whether a figure of this name is to be shown."""
    return not only or name.startswith(tuple(only))


@dataclass(frozen=True, slots=True)
class Use:
    """What one process used while one measure was taken on one side: CPU seconds, and its resident bytes after it."""

    measure: str
    side: str
    process: str
    cpu_seconds: float
    rss: int


@dataclass(slots=True)
class Book:
    """All that was measured so far: pairs of figures by name, and what each process used."""

    pairs: dict[tuple[str, Kind], list[tuple[float, float]]] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)

    def results(self, only: Sequence[str]) -> list[Result]:
        """One for every name that is asked for."""
        return [
            result(prefix + kind.name, kind.unit, kind.better, pairs)
            for (prefix, kind), pairs in self.pairs.items()
            if asked(prefix + kind.name, only)
        ]


_OVERHEAD: Final = 0.01
"""CPU seconds below which a process took no part in a measure."""


def take_round(lab: Lab, comparisons: Sequence[Comparison], book: Book, *, ours_first: bool) -> None:
    """Every measure once on each side. A side that stands in several comparisons is measured once."""
    taken: dict[tuple[str, Measure], Mapping[str, float]] = {}
    for comparison in comparisons:
        for measure in comparison.measures:
            sides = (comparison.ours, comparison.peer)
            for side in sides if ours_first else reversed(sides):
                if (side.name, measure) not in taken:
                    print(f"  {comparison.prefix}{measure.kinds[0].name}: {side.name}", file=sys.stderr, flush=True)
                    taken[side.name, measure] = _take(lab, comparison.prefix, measure, side, book)
            ours, peer = (taken[side.name, measure] for side in sides)
            for kind in measure.kinds:
                if kind.unit.startswith("CPU") and not comparison.ours.processes:
                    continue  # no proxy, no CPU of a proxy
                pair = (ours[kind.name], peer[kind.name])
                book.pairs.setdefault((comparison.prefix, kind), []).append(pair)


def _take(lab: Lab, prefix: str, measure: Measure, side: Side, book: Book) -> Mapping[str, float]:
    before = lab.processes(side.processes)
    figures = measure.take(lab, side)
    for pid, after in lab.processes(side.processes).items():
        used = after.cpu_seconds - (before[pid].cpu_seconds if pid in before else 0.0)
        if used > _OVERHEAD:
            book.uses.append(Use(prefix + measure.kinds[0].name, side.name, after.name, round(used, 3), after.rss))
    return figures
