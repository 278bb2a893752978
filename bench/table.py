"""Results of some rounds, as medians with their spread, in a file and on the screen."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bench.goals import Goal
    from bench.measure import Use

_NARROWEST: Final = 120
"""Columns: fewer would cut the names of measures."""


@dataclass(frozen=True, slots=True)
class Result:
    """One measure: ours and the peer's medians, the median of the rounds' ratios, and each round's pair."""

    name: str
    unit: str
    ours: float
    peer: float
    ratio: float
    better: str
    rounds: tuple[tuple[float, float], ...]


def result(name: str, unit: str, better: str, rounds: Sequence[tuple[float, float]]) -> Result:
    """Sum up the rounds of one measure; `better` is `higher` or `lower`."""
    ours, peer = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median([a / b for a, b in rounds if b] or [0.0])
    return Result(name, unit, round(ours, 3), round(peer, 3), round(ratio, 3), better, tuple(rounds))


def write(what: Sequence[Result] | Sequence[Use], path: Path) -> None:
    """Keep it for comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in what], indent=1) + "\n")


def show(results: Sequence[Result], goal_of: Callable[[str], Goal | None]) -> None:
    """Print the table for a person."""
    table = Table("measure", "unit", "ours", "peer", "ratio", "spread", "goal", "", title="Ambit beside Envoy")
    for one in results:
        ratios = [a / b for a, b in one.rounds if b]
        goal = goal_of(one.name)
        told, met = ("", "") if goal is None else (goal.told(one), "met" if goal.met(one) else "missed")
        beside = ("", "", "")
        if ratios:
            beside = (f"{one.peer:,.1f}", f"{one.ratio:.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}")
        table.add_row(one.name, one.unit, f"{one.ours:,.1f}", *beside, told, met)
    _print(table)


def show_uses(uses: Sequence[Use]) -> None:
    """Print what each process used, the median round of each."""
    table = Table("measure", "side", "process", "CPU s", "RSS MB", title="What each process used")
    grouped: dict[tuple[str, str, str], list[Use]] = {}
    for use in uses:
        grouped.setdefault((use.measure, use.side, use.process), []).append(use)
    for key, some in grouped.items():
        cpu, rss = (statistics.median(values) for values in zip(*((u.cpu_seconds, u.rss) for u in some), strict=True))
        table.add_row(*key, f"{cpu:.2f}", f"{rss / 1e6:.0f}")
    _print(table)


def _print(table: Table) -> None:
    console = Console()
    console.width = max(console.width, _NARROWEST)
    console.print(table)
