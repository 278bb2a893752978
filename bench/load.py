"""Load from independent C programs: iperf3 for bulk, redis-benchmark for round trips and new connections."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Run = Callable[[Sequence[str]], str]
"""Runs a command where the load comes from and gives its output; raises if the command fails."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """What iperf3 moved."""

    bytes_per_second: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Trips:
    """What redis-benchmark did: requests, their rate, and latencies in microseconds."""

    requests: int
    per_second: float
    p50: float
    p99: float


def bulk(run: Run, host: str, port: int, *, connections: int, seconds: float) -> Bulk:
    """Push data through some connections for some seconds; what the receiver got counts."""
    said = run(
        [
            "iperf3",
            "--client",
            host,
            "--port",
            str(port),
            "--parallel",
            str(connections),
            "--time",
            str(seconds),
            "--json",
        ]
    )
    got = json.loads(said)["end"]["sum_received"]
    return Bulk(got["bits_per_second"] / 8, got["bytes"])


def trips(run: Run, host: str, port: int, *, connections: int, requests: int, keep: bool = True) -> Trips:
    """Small requests (a PING and its answer), one outstanding on each connection; `keep` false dials for every one."""
    command = ["redis-benchmark", "-h", host, "-p", str(port), "-c", str(connections), "-n", str(requests), "--csv"]
    said = run([*command, "-t", "ping_mbulk", "-d", "128", *([] if keep else ["-k", "0"])])
    [row] = list(csv.DictReader(io.StringIO(said[said.index('"test"') :])))
    return Trips(requests, float(row["rps"]), float(row["p50_latency_ms"]) * 1000, float(row["p99_latency_ms"]) * 1000)
