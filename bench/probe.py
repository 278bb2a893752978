"""Runs inside the lab: CPU seconds and memory of the processes whose names begin with the arguments, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Print `{pid: {name, cpu_seconds, rss, pss, private}}`, memory in bytes."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            name = (process / "comm").read_text().strip()
            if name.startswith(tuple(sys.argv[1:])):
                found[process.name] = {"name": name, **_cpu(process), **_memory(process)}
        except OSError:
            continue  # it ended meanwhile
    print(json.dumps(found))


def _cpu(process: Path) -> dict[str, float]:
    threads = (process / "task").iterdir()
    return {"cpu_seconds": sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9}


def _memory(process: Path) -> dict[str, int]:
    lines = (process / "smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(" kB")}
    return {
        "rss": sizes["Rss"],
        "pss": sizes["Pss"],
        "private": sizes["Private_Clean"] + sizes["Private_Dirty"],
    }


main()
