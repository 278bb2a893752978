"""One worker with 10,000 tunnels that do nothing: its memory, its idle CPU, and what a new connection costs then.

A worker takes a fifth of the descriptors that it may open, of which one caller gets half and two a third each
(docs/confinement.md). Where the hard limit is below 80,000 and cannot be raised, there are as many as fit, and the
names of the measures say how many.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import bench
from bench.lab import Lab
from bench.measure import Side
from bench.stage import Stage
from bench.table import Result, result

_HARD: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
_BUDGET: Final = 95 * _HARD // 5 // 100
"""What a worker takes of the pod's calls and of callers, with a little room left for others."""
_SAMPLE: Final = 200
TUNNELS: Final = min(10_000, 2 * (_BUDGET - 2 * _SAMPLE) // 3)
BURST: Final = min(5_000, _BUDGET // 2)
_IDLE_SECONDS: Final = 20.0
_SERVER: Final = ("zt-server",)


def results(there: Stage) -> Iterator[Result]:
    """With the idle tunnels as `ours`, without them as `peer`: of what is flat, the ratio is one."""
    lab, callers = there.lab, (there.ours, _beside(there))
    before = lab.processes(_SERVER)
    alone, idle = _accepted(lab, there.ours), _idle_cpu(lab)
    with ExitStack() as held:
        for caller in callers:
            held.enter_context(_holding(lab, caller, TUNNELS // len(callers)))
        after = lab.processes(_SERVER)
        crowded, crowded_idle = _accepted(lab, there.ours), _idle_cpu(lab)
    [first], [last] = before.values(), after.values()
    name = f"scale.tunnels.{TUNNELS}"
    yield result(f"{name}.memory_of_each", "kB", "lower", [((last.private - first.private) / TUNNELS / 1e3, 0)])
    yield result(f"{name}.rss", "MB", "lower", [(last.rss / 1e6, first.rss / 1e6)])
    yield result(f"{name}.connect.p50", "ms", "lower", [(crowded["p50"], alone["p50"])])
    yield result(f"{name}.connect.p99", "ms", "lower", [(crowded["p99"], alone["p99"])])
    yield result(f"{name}.idle_cpu", "CPU ms/s", "lower", [(crowded_idle, idle)])
    yield from _burst(lab, there.ours)


def _burst(lab: Lab, side: Side) -> Iterator[Result]:
    host, port = side.redis
    told = json.loads(lab.script(side.client, "burst.py", host, str(port), str(BURST)))
    yield result(f"scale.burst.{BURST}.failed", "connections", "lower", [(told["failed"], 0)])
    for name in ("p50", "p99", "last"):
        yield result(f"scale.burst.{BURST}.{name}", "ms", "lower", [(told[name], 0)])


def _beside(there: Stage) -> Side:
    """The other client, calling the same server."""
    if there.ours.beside is None:
        raise ValueError("there is no other pair of pods")
    other = there.ours.beside
    return Side(other.name, other.client, there.ours.iperf, there.ours.redis, other.processes)


def _accepted(lab: Lab, side: Side) -> dict[str, float]:
    with _holding(lab, side, _SAMPLE) as told:
        return told


def _idle_cpu(lab: Lab) -> float:
    """CPU milliseconds that the server's worker takes in a second in which nothing happens."""
    before = lab.cpu_seconds(_SERVER)
    time.sleep(_IDLE_SECONDS)
    return 1000 * (lab.cpu_seconds(_SERVER) - before) / _IDLE_SECONDS


@contextmanager
def _holding(lab: Lab, side: Side, count: int) -> Iterator[dict[str, float]]:
    """Connections that are open while the block runs; what they took to open, in milliseconds."""
    host, port = side.redis
    script = str(Path(bench.__file__).with_name("hold.py"))
    with lab.running(side.client, (sys.executable, script, host, str(port), str(count))) as held:
        said = held.stdout.readline() if held.stdout is not None else ""
        if not said:
            raise SystemExit(f"{side.client.name} cannot open {count} connections")
        yield json.loads(said)
        held.communicate("")
