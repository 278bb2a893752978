"""Memory: of a worker that does nothing, and of the proxies at both ends of 1,000 tunnels."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import bench
from bench.lab import Lab
from bench.measure import Kind, Measure, Side

_HOLD: Final = str(Path(bench.__file__).with_name("hold.py"))
_TUNNELS: Final = 1_000
_IDLE: Final = {"zt-": "zt-idle", "envoy": "/other.json"}
_ENDS: Final = {"zt-": ("zt-client", "zt-server"), "envoy": ("/client.json", "/server.json")}


def _idle(lab: Lab, side: Side) -> Mapping[str, float]:
    [one] = lab.processes((_IDLE[side.processes[0]],)).values()
    return {"private_memory": one.private / 1e6}


def _thousand(lab: Lab, side: Side) -> Mapping[str, float]:
    host, port = side.redis
    with lab.running(side.client, (sys.executable, _HOLD, host, str(port), str(_TUNNELS))) as held:
        if held.stdout is None or "p50" not in json.loads(held.stdout.readline() or "{}"):
            raise SystemExit(f"{side.name} does not hold {_TUNNELS} tunnels")
        largest = max(one.rss for one in lab.processes(_ENDS[side.processes[0]]).values())
        held.communicate("")
    return {f"rss.{_TUNNELS}": largest / 1e6}


IDLE: Final = Measure((Kind("private_memory", "MB", "lower"),), _idle)
"""A process that has served no connection: what it has for itself alone. Of Envoy, one that serves little."""
THOUSAND: Final = Measure((Kind(f"rss.{_TUNNELS}", "MB", "lower"),), _thousand)
"""Resident memory of the larger of the two ends."""
