"""Load from independent C programs: iperf3 for bulk, redis-benchmark for round trips and new connections."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bulk:
    """What iperf3 moved."""

    bytes_per_second: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Trips:
    """What redis-benchmark did: the rate of its requests, and their latencies in microseconds."""

    per_second: float
    p50: float
    p99: float


def bulk(host: str, port: int, *, connections: int, seconds: float) -> Command:
    """Pushes data through some connections for some seconds."""
    where = ("--client", host, "--port", str(port))
    return ("iperf3", *where, "--parallel", str(connections), "--time", str(seconds), "--json")


def moved(said: str) -> Bulk:
    """What `bulk` reports: what the receiver got counts."""
    got = json.loads(said)["end"]["sum_received"]
    return Bulk(got["bits_per_second"] / 8, got["bytes"])


def trips(host: str, port: int, *, connections: int, requests: int, keep: bool = True) -> Command:
    """Small requests (a PING and its answer), one outstanding on each connection; `keep` false dials for every one."""
    command = ("redis-benchmark", "-h", host, "-p", str(port), "-c", str(connections), "-n", str(requests), "--csv")
    return (*command, "-t", "ping_mbulk", "-d", "128", *(() if keep else ("-k", "0")))


def made(said: str) -> Trips:
    """What `trips` reports."""
    [row] = list(csv.DictReader(io.StringIO(said[said.index('"test"') :])))
    return Trips(float(row["rps"]), float(row["p50_latency_ms"]) * 1000, float(row["p99_latency_ms"]) * 1000)


def made_once(host: str, port: int) -> Command:
    """Succeeds if a Redis answers there."""
    return ("redis-cli", "-h", host, "-p", str(port), "-e", "PING")
