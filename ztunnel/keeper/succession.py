"""Which of the workers that a keeper finds serve on, which are replaced, and which only drain. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ztunnel.keeper.record import Record, Stage


class Fate(Enum):
    """What becomes of one worker."""

    SERVES = "it is as a new one would be, and serves on"
    REPLACED = "a new one is born on its listeners; until that one serves, it does"
    RETIRES = "a newer one of its pod is there; until that one serves, it does"
    DRAINS = "it drains already, and its pod has another"
    LEAVES = "its pod is captured no more"


@dataclass(frozen=True, slots=True)
class Birth:
    """What a worker is born with. One of another release or other settings is replaced."""

    version: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Left:
    """A worker, or what is left of it."""

    record: Record
    alive: bool
    listening: bool
    """Whether its listeners are at hand."""

    @property
    def stands(self) -> bool:
        """Whether its pod is captured by it, or waits on its listeners."""
        return self.listening and self.record.stage is not Stage.LEAVING


def fates(found: Iterable[Left], wanted: Birth) -> dict[int, Fate]:
    """What becomes of each, by pid. Of those of a pod the newest goes on."""
    workers = list(found)
    newest: dict[tuple[int, int], Left] = {}
    for one in workers:
        rival = newest.get(one.record.namespace)
        if one.stands and (rival is None or one.record.generation > rival.record.generation):
            newest[one.record.namespace] = one
    return {one.record.pid: _fate(one, newest.get(one.record.namespace), wanted) for one in workers}


def _fate(one: Left, newest: Left | None, wanted: Birth) -> Fate:
    if newest is None:
        return Fate.LEAVES
    if one is not newest:
        return Fate.RETIRES if one.stands else Fate.DRAINS
    born = Birth(one.record.version, one.record.settings)
    return Fate.SERVES if one.alive and one.record.stage is Stage.SERVING and born == wanted else Fate.REPLACED
