"""The processes of the lab: which is whose, and what it holds in memory."""

import json
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from demo.shop import FOLDER
from demo.user import User

WORKER = "zt-"
SHORT = 15  # what Linux keeps of a process's name


@dataclass(frozen=True)
class Process:
    """One process; memory in KiB. Private is what its end would free."""

    pid: int
    uid: int
    name: str
    command: str
    private: int
    resident: int


def of_lab(user: User, node: str = "node-1") -> list[Process]:
    """All processes of the lab; every node sees them all."""
    script = shlex.quote(str(FOLDER / "memory.py"))
    told = user.type(f"exec --node {node} -- {sys.executable} {script}", shown=False)
    return [Process(**one) for one in json.loads(told.out)]


def worker_of(pod: str, processes: Iterable[Process]) -> Process | None:
    """The ztunnel worker of a pod."""
    return next((one for one in processes if one.name == f"{WORKER}{pod}"[:SHORT]), None)
