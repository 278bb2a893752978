"""`make bench`: layer 4 of the shipped ztunnel beside an Envoy pair, alternating, in one lab.

Both sides carry the same load between the same kind of pods on two nodes: our side by labelling the namespace, Envoy's
by two proxies in the pods. Certificates, TLS version and HTTP/2 are alike; each proxy has one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import load, peer, setting
from bench.setting import Side
from bench.table import Result, result, show, write


def main() -> None:
    """Run all measures for some rounds and print the table."""
    asked = argparse.ArgumentParser(prog="make bench", description=__doc__)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=float, default=3, help="length of a bulk run")
    asked.add_argument("--results", type=Path, default=Path("bench/results.json"))
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder:
        keys = Path(folder)
        keys.chmod(0o755)
        setting.certificates(keys)
        peer.write(peer.outbound("client", setting.TUNNELS, setting.SERVER_HOST, keys), keys / "out.json")
        peer.write(peer.inbound("server", setting.TARGETS, keys), keys / "in.json")
        with setting.lab(keys) as (ours, theirs):
            results = [*_layer_4(ours, theirs, options.rounds, options.seconds), *_footprint(ours, theirs)]
    show(results)
    write(results, options.results)


def _layer_4(ours: Side, theirs: Side, rounds: int, seconds: float) -> list[Result]:
    rows: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        one, other = _round(ours, seconds), _round(theirs, seconds)
        for key in one:
            rows.setdefault(key, []).append((one[key], other[key]))
    return [result(*key, pairs) for key, pairs in rows.items()]


def _round(side: Side, seconds: float) -> dict[tuple[str, str, str], float]:
    """Every measure once: (name, unit, better) to the figure."""
    figures: dict[tuple[str, str, str], float] = {}
    for connections in (1, 8):
        before = side.cpu_seconds()
        bulk = load.bulk(side.run, *side.iperf, connections=connections, seconds=seconds)
        used = side.cpu_seconds() - before
        figures[f"l4.bulk.{connections}", "MB/s", "higher"] = bulk.bytes_per_second / 1e6
        figures[f"l4.cpu_per_gb.{connections}", "CPU s/GB", "lower"] = used / (bulk.bytes / 1e9)
    alone = load.trips(side.run, *side.redis, connections=1, requests=10_000)
    figures["l4.rtt.p50", "us", "lower"] = alone.p50
    figures["l4.rtt.p99", "us", "lower"] = alone.p99
    before = side.cpu_seconds()
    crowd = load.trips(side.run, *side.redis, connections=32, requests=100_000)
    figures["l4.rps.32", "1/s", "higher"] = crowd.per_second
    figures["l4.cpu_per_request", "CPU us", "lower"] = (side.cpu_seconds() - before) / crowd.requests * 1e6
    before = side.cpu_seconds()
    dials = load.trips(side.run, *side.redis, connections=8, requests=5_000, keep=False)
    figures["l4.connections.per_second", "1/s", "higher"] = dials.per_second
    figures["l4.cpu_per_connection", "CPU us", "lower"] = (side.cpu_seconds() - before) / dials.requests * 1e6
    return figures


def _footprint(ours: Side, theirs: Side) -> list[Result]:
    """Memory after the load, per proxy: the largest of each side."""
    pairs = {kind: (ours.memory(kind) / 1e6, theirs.memory(kind) / 1e6) for kind in ("rss", "private")}
    return [result(f"l4.{kind}.after_load", "MB", "lower", [pair]) for kind, pair in pairs.items()]


if __name__ == "__main__":
    main()
