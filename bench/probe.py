"""Runs inside the lab: CPU seconds and memory of the processes that the arguments mark, as JSON.

An argument marks a process whose name begins with it, or whose command line contains it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Print `{pid: {name, cpu_seconds, rss, pss, private}}`, memory in bytes."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            name = (process / "comm").read_text().strip()
            command = (process / "cmdline").read_text().split("\0")
            if _marked(name, command):
                found[process.name] = {"name": _called(name, command), **_cpu(process), **_memory(process)}
        except OSError:
            continue  # it ended meanwhile
    print(json.dumps(found))


def _marked(name: str, command: list[str]) -> bool:
    marks = sys.argv[1:]
    return name.startswith(tuple(marks)) or any(mark in word for mark in marks for word in command)


def _called(name: str, command: list[str]) -> str:
    """Envoys are all called alike: the configuration tells which one it is."""
    if "--config-path" not in command:
        return name
    return f"{name} {Path(command[command.index('--config-path') + 1]).stem}"


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
