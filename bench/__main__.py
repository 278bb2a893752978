"""`make bench`: the shipped programs beside Envoy, in turn, in one lab; prints a table with the goals."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench import l4, scale
from bench.goals import goal_of
from bench.kills.count import counts
from bench.kills.table import markdown, outcomes
from bench.measure import Book, take_round
from bench.stage import stage
from bench.table import show, show_uses, write


def main() -> None:
    """Take all measures that are asked for, for some rounds."""
    options = _arguments()
    only = tuple(filter(None, options.only.split(",")))
    book = Book()
    if _wanted(only, "l4.", "worker.", "load."):
        _take_rounds(book, only, options)
    results = book.results(only)
    if _wanted(only, "kills."):
        played = outcomes(f"bench-kills-{os.getpid()}")
        print(markdown(played))
        results += counts(played)
    if _asked_for(only, "scale."):
        results += scale.results()
    write(results, options.results)
    write(book.uses, options.results.with_name("processes.json"))
    show_uses(book.uses)
    show(results, goal_of)


def _wanted(only: tuple[str, ...], *families: str) -> bool:
    return not only or _asked_for(only, *families)


def _asked_for(only: tuple[str, ...], *families: str) -> bool:
    return any(one.startswith(family) or family.startswith(one) for one in only for family in families)


def _take_rounds(book: Book, only: tuple[str, ...], options: argparse.Namespace) -> None:
    with stage() as there:
        wanted = [one.wanted(only) for one in l4.comparisons(there, options.seconds)]
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            take_round(there.lab, wanted, book, ours_first=number % 2 == 0)


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="make bench", description=__doc__)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=float, default=3, help="length of a bulk transfer")
    asked.add_argument("--only", default="", help="beginnings of names, with commas between: l4.bulk.1,l4.rtt")
    asked.add_argument("--results", type=Path, default=Path("bench/results.json"))
    return asked.parse_args()


if __name__ == "__main__":
    main()
