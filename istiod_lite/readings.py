"""What has been read so far: the objects of every file, and the last good fact of every object.

An object that turns bad keeps its last good fact: a slip of the pen must not take a policy or a pod out of the mesh.
A policy that never was good is replaced by one that denies, for without it everybody would be let in.
Only an object that is gone from its file, with that file readable, is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istiod_lite import facts, manifests
from istiod_lite.problem import Problem
from istiod_lite.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istiod_lite.facts import Fact
    from istiod_lite.object import ObjectKey


@dataclass(frozen=True, slots=True)
class _File:
    """One file: its good facts, and the keys of all objects in it. A broken one may hold more than could be read."""

    facts: Mapping[ObjectKey, Fact]
    keys: frozenset[ObjectKey]
    broken: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The world after an update, and what is wrong with the files that were read for it."""

    world: World
    problems: tuple[Problem, ...]


class Readings:
    """Files come in by `update`; each is read once for every time that it changes."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._world = World()

    def update(self, changes: Mapping[str, str | None]) -> Outcome:
        """Take in files that are new or changed (name to text) or gone (None)."""
        problems: list[Problem] = []
        touched: set[ObjectKey] = set()
        for source in sorted(changes):
            text, former = changes[source], self._files.pop(source, None)
            touched.update(former.keys if former else ())
            if text is not None:
                self._files[source] = file = self._read(source, text, former, problems)
                touched.update(file.keys)
        put, drop = self._claims(touched, changes, problems)
        if put or drop:
            self._world = self._world.replace(put, drop)
        texts = {source: text for source, text in changes.items() if text is not None}
        return Outcome(self._world, tuple(manifests.locate(problems, texts)))

    def _read(self, source: str, text: str, former: _File | None, problems: list[Problem]) -> _File:
        objects, faults = manifests.load({source: text})
        problems += faults
        kept = former.facts if former else {}
        good: dict[ObjectKey, Fact] = {}
        for obj in objects:
            found = facts.read(obj)
            if not isinstance(found, list):
                good[obj.key] = found
                continue
            problems += found
            last = kept.get(obj.key) if any(one.grave for one in found) else None
            if (instead := last or facts.stand_in(obj, found)) is not None:
                good[obj.key] = instead
        keys = frozenset(obj.key for obj in objects)
        broken = any(fault.grave for fault in faults)
        if broken:
            good = {**kept, **good}
        return _File(good, keys | good.keys(), broken)

    def _claims(
        self, touched: set[ObjectKey], changes: Mapping[str, str | None], problems: list[Problem]
    ) -> tuple[list[Fact], list[ObjectKey]]:
        """Settle each touched object: the first file that holds it wins, the others are told so."""
        holders: dict[ObjectKey, list[str]] = {}
        for source in sorted(self._files):
            for key in self._files[source].facts.keys() & touched:
                holders.setdefault(key, []).append(source)
        put: list[Fact] = []
        for key, sources in holders.items():
            first, *others = sources
            fact = self._files[first].facts[key]
            if self._world.facts.get(key) != fact:
                put.append(fact)
            problems += [
                _twice(self._files[other].facts[key], first) for other in others if other in changes or first in changes
            ]
        return put, [key for key in touched if key not in holders and key in self._world.facts]


def _twice(fact: Fact, first: str) -> Problem:
    message = f"the same object is already defined in {first}"
    where = fact.meta
    return Problem(where.source, str(where.key), "metadata.name", message, "keep one of the two", line=where.line)
