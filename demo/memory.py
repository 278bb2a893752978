"""What each process of the lab holds in memory: run inside a node, needs nothing but Python.

Prints one JSON array: pid, uid, name, command line, private memory and resident memory in KiB. Private is what would be
freed if the process ended; forked workers share the rest with their zygote.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OWNER = re.compile(r"^Uid:\s+(\d+)", re.MULTILINE)
AMOUNT = re.compile(r"^(Private_\w+|Rss):\s+(\d+) kB$", re.MULTILINE)


def processes(proc: Path = Path("/proc")) -> Iterator[dict[str, Any]]:
    """Every process that can be read; those that end meanwhile, and kernel threads, are left out."""
    for folder in proc.glob("[0-9]*"):
        try:
            amounts = AMOUNT.findall((folder / "smaps_rollup").read_text())
            words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            name = (folder / "comm").read_text().strip()
            uid = OWNER.findall((folder / "status").read_text())[0]
        except OSError:
            continue
        if words != [b""]:
            yield {
                "pid": int(folder.name),
                "uid": int(uid),
                "name": name,
                "command": b" ".join(words).decode(errors="replace"),
                "private": sum(int(amount) for kind, amount in amounts if kind != "Rss"),
                "resident": sum(int(amount) for kind, amount in amounts if kind == "Rss"),
            }


if __name__ == "__main__":
    print(json.dumps(sorted(processes(), key=lambda process: int(process["pid"]))))
