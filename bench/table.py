"""Results of some rounds, as medians with their spread, in a file and on the screen."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

_NARROWEST = 110
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
    ratio = statistics.median(a / b for a, b in rounds if b)
    return Result(name, unit, round(ours, 3), round(peer, 3), round(ratio, 3), better, tuple(rounds))


def write(results: Sequence[Result], path: Path) -> None:
    """Keep the results for comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n")


def show(results: Sequence[Result]) -> None:
    """Print the table for a person."""
    table = Table("measure", "unit", "ours", "Envoy", "ratio", "spread", "better", title="Ambit beside Envoy")
    for one in results:
        ratios = [a / b for a, b in one.rounds if b]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        table.add_row(
            one.name, one.unit, f"{one.ours:,.1f}", f"{one.peer:,.1f}", f"{one.ratio:.2f}", spread, one.better
        )
    console = Console()
    console.width = max(console.width, _NARROWEST)
    console.print(table)
