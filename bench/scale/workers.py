"""A node with 200 workers: their memory, the supervisor's, and what they take when nothing happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import yaml

from bench.lab import lab
from bench.table import Result, result

WORKERS: Final = 200
_SECONDS: Final = 20.0
_WORKERS: Final = ("zt-many-",)
_SUPERVISOR: Final = ("zt-supervisor",)


def results() -> Iterator[Result]:
    """All that has to do with their number."""
    begun = time.monotonic()
    with lab(yaml.safe_dump_all(_manifests()), nodes=1) as there:
        name = f"scale.workers.{WORKERS}"
        yield result(f"{name}.ready", "s", "lower", [(time.monotonic() - begun, 0)])
        some = there.processes(_WORKERS)
        if len(some) != WORKERS:
            raise SystemExit(f"{len(some)} workers instead of {WORKERS}")
        yield result(f"{name}.pss", "MB", "lower", [(sum(one.pss for one in some.values()) / 1e6, 0)])
        yield result(f"{name}.private", "MB", "lower", [(sum(one.private for one in some.values()) / 1e6, 0)])
        [supervisor] = there.processes(_SUPERVISOR).values()
        yield result(f"{name}.supervisor_rss", "MB", "lower", [(supervisor.rss / 1e6, 0)])
        before = there.cpu_seconds((*_WORKERS, *_SUPERVISOR))
        time.sleep(_SECONDS)
        used = there.cpu_seconds((*_WORKERS, *_SUPERVISOR)) - before
        yield result(f"{name}.idle_cpu", "CPU ms/s", "lower", [(1000 * used / _SECONDS, 0)])


def _manifests() -> Iterator[dict[str, Any]]:
    labels = {"istio.io/dataplane-mode": "ambient"}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "many", "labels": labels}}
    for number in range(WORKERS):
        container = {"name": "idle", "image": "none", "command": ["sleep", "infinity"]}
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"many-{number}", "namespace": "many"},
            "spec": {"nodeName": "node-1", "terminationGracePeriodSeconds": 0, "containers": [container]},
        }
