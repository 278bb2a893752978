"""Bulk, round trips, requests and connections, each with the CPU seconds that the proxies on both ends took for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from bench import load
from bench.lab import Lab
from bench.measure import Kind, Measure, Side

_TRIPS: Final = 10_000
_REQUESTS: Final = 100_000
_DIALS: Final = 5_000
_HANDSHAKES: Final = 2_000


@cache
def bulk(connections: int, seconds: float) -> Measure:
    """Data in one direction for some seconds. CPU per gigabyte bears the number of connections, if that is not one."""
    rate, cpu = f"bulk.{connections}", "cpu_per_gb" + (f".{connections}" if connections > 1 else "")

    def take(lab: Lab, side: Side) -> Mapping[str, float]:
        before = lab.cpu_seconds(side.processes)
        said = lab.run(side.client, load.bulk(*side.iperf, connections=connections, seconds=seconds))
        used, moved = lab.cpu_seconds(side.processes) - before, load.moved(said)
        return {rate: moved.bytes_per_second / 1e6, cpu: used / (moved.bytes / 1e9)}

    return Measure((Kind(rate, "MB/s", "higher"), Kind(cpu, "CPU s/GB", "lower")), take)


def _round_trip(lab: Lab, side: Side) -> Mapping[str, float]:
    made = load.made(lab.run(side.client, load.trips(*side.redis, connections=1, requests=_TRIPS)))
    return {"rtt.p50": made.p50, "rtt.p99": made.p99}


def _requests(lab: Lab, side: Side) -> Mapping[str, float]:
    rate, cpu = _paid(lab, side, connections=32, requests=_REQUESTS)
    return {"rps.32": rate, "cpu_per_request": cpu}


def _connections(lab: Lab, side: Side) -> Mapping[str, float]:
    rate, cpu = _paid(lab, side, connections=8, requests=_DIALS, keep=False)
    return {"connections.per_second": rate, "cpu_per_connection": cpu}


def _handshakes(lab: Lab, side: Side) -> Mapping[str, float]:
    rate, cpu = _paid(lab, side, connections=8, requests=_HANDSHAKES, keep=False)
    return {"per_second": rate, "cpu": cpu}


def _paid(lab: Lab, side: Side, *, connections: int, requests: int, keep: bool = True) -> tuple[float, float]:
    """Requests a second, and CPU microseconds for each."""
    before = lab.cpu_seconds(side.processes)
    said = lab.run(side.client, load.trips(*side.redis, connections=connections, requests=requests, keep=keep))
    return load.made(said).per_second, (lab.cpu_seconds(side.processes) - before) / requests * 1e6


ROUND_TRIP: Final = Measure((Kind("rtt.p50", "us", "lower"), Kind("rtt.p99", "us", "lower")), _round_trip)
"""128 bytes there and their answer back, one at a time."""
REQUESTS: Final = Measure((Kind("rps.32", "1/s", "higher"), Kind("cpu_per_request", "CPU us", "lower")), _requests)
"""The same on 32 connections at once."""
CONNECTIONS: Final = Measure(
    (Kind("connections.per_second", "1/s", "higher"), Kind("cpu_per_connection", "CPU us", "lower")), _connections
)
"""A new connection for each round trip, eight at a time."""
HANDSHAKES: Final = Measure((Kind("per_second", "1/s", "higher"), Kind("cpu", "CPU us", "lower")), _handshakes)
"""The same where the caller pools nothing. CPU is the called side's."""
