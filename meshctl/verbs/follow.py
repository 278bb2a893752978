"""Finds logs of a lab and follows them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from meshctl.client import LabClient
from meshctl.failure import ExitCode, Failure

_POLL_SECONDS = 0.1
_CHUNK = 1 << 20


def logs_of(client: LabClient, of: str, namespace: str, container: str | None, node: str | None) -> list[Path]:
    """Return the log files meant. Raises Failure if nothing is meant."""
    folder = client.place.logs
    if of == "lab":
        return [client.place.daemon_log]
    if of == "ztunnel":
        found = sorted(folder.glob(f"ztunnel_{node or '*'}.log"))
    elif of == "istiod":
        found = sorted(folder.glob("istio-system_istiod-*_*.log"))
    elif of == "waypoint":
        pods = client.ask("get", kind="Pod", namespace=namespace, name=None)["objects"]
        managed = [pod["metadata"] for pod in pods if _is_waypoint(pod["metadata"].get("labels") or {})]
        found = [path for pod in managed for path in sorted(folder.glob(f"{pod['namespace']}_{pod['name']}_*.log"))]
    else:
        found = sorted(folder.glob(f"{namespace}_{of}_{container or '*'}.log"))
    if not found:
        raise Failure(
            f"Nothing named {of} has written a log in namespace {namespace}.",
            "See which pods there are: meshctl lab get pods",
            ExitCode.ABSENT,
        )
    return found


def _is_waypoint(labels: dict[str, str]) -> bool:
    return "gateway.networking.k8s.io/gateway-name" in labels


def show(paths: Sequence[Path], lines: int, following: bool) -> None:
    """Write logs to standard output; with several, each line says whose it is."""
    positions: dict[Path, int] = {}
    named = len(paths) > 1
    for path in paths:
        content = path.read_bytes()
        positions[path] = len(content)
        kept = content.splitlines(keepends=True)
        _write(path, b"".join(kept if lines < 0 else kept[len(kept) - lines :]), named)
    while following:
        time.sleep(_POLL_SECONDS)
        for path in paths:
            with path.open("rb") as log:
                log.seek(positions[path])
                fresh = log.read(_CHUNK)
            complete = fresh[: fresh.rfind(b"\n") + 1]
            positions[path] += len(complete)
            _write(path, complete, named)


def _write(path: Path, content: bytes, named: bool) -> None:
    for line in content.splitlines(keepends=True):
        sys.stdout.buffer.write(b"%s  %s" % (path.stem.encode(), line) if named else line)
    sys.stdout.buffer.flush()
