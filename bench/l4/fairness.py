"""What a bulk transfer does to small round trips: on the same HBONE connection, and between other pods."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from bench import load
from bench.lab import Lab
from bench.measure import Kind, Measure, Side

_BULK_SECONDS: Final = 60.0
"""At most: it is ended when the round trips are made."""
_RAMP_SECONDS: Final = 1.0
_TRIPS: Final = 1_000


def _same_connection(lab: Lab, side: Side) -> Mapping[str, float]:
    return {"same_connection.added_p99": _added(lab, side, side)}


def _other_pod(lab: Lab, side: Side) -> Mapping[str, float]:
    if side.beside is None:
        raise ValueError(f"{side.name} has no other pair of pods")
    return {"other_pod.added_p99": _added(lab, side, side.beside)}


def _added(lab: Lab, busy: Side, small: Side) -> float:
    """By how many milliseconds p99 of `small` grows while `busy` moves bulk."""
    trips = load.trips(*small.redis, connections=1, requests=_TRIPS)
    alone = load.made(lab.run(small.client, trips))
    with lab.running(busy.client, load.bulk(*busy.iperf, connections=1, seconds=_BULK_SECONDS)) as transfer:
        time.sleep(_RAMP_SECONDS)
        beside = load.made(lab.run(small.client, trips))
        if transfer.poll() is not None:
            raise SystemExit(f"the bulk transfer of {busy.name} ended before {_TRIPS} round trips: the figure is void")
    return (beside.p99 - alone.p99) / 1000


SAME_CONNECTION: Final = Measure((Kind("same_connection.added_p99", "ms", "lower"),), _same_connection)
OTHER_POD: Final = Measure((Kind("other_pod.added_p99", "ms", "lower"),), _other_pod)
