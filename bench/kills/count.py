"""The kills among the results of `make bench`: how many were refused and lost, and how long a new connection waited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.kills.scenes import Outcome
from bench.table import Result, result


def counts(outcomes: Iterable[Outcome]) -> list[Result]:
    """What nobody may notice. A killed worker's own connections end with it; its next ones wait for a moment only."""
    return [one for outcome in outcomes for one in _counts(outcome)]


def _counts(outcome: Outcome) -> Iterator[Result]:
    name = "kills." + outcome.name.removesuffix(" -9").replace(" ", "_")
    yield result(f"{name}.refused", "connections", "lower", [(outcome.told.refused, 0)])
    yield result(f"{name}.lost", "connections", "lower", [(outcome.told.lost, 0)])
    if outcome.own is not None:
        yield result(f"{name}.own_wait", "s", "lower", [(outcome.own.slowest, 0)])
