"""What a keeper writes down of each worker, so that the next keeper can go on with it should this one be killed.

One file per worker in a directory that only the keeper's user enters. Nothing in it is believed that the kernel does
not confirm: see `ztunnel.keeper.adoption`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import stat
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ztunnel.keeper.rundir import RunDirError
from ztunnel.worker.start import Pod

_log = logging.getLogger("ztunnel.keeper")


class Stage(StrEnum):
    """How far a worker's life has come."""

    BORN = "born"
    SERVING = "serving"
    LEAVING = "leaving"
    """Its pod is captured no more, or another worker has taken its place; it drains."""


@dataclass(frozen=True, slots=True)
class Record:
    """One worker."""

    pid: int
    started: int
    """When, in clock ticks since boot: with the pid it means this process and no other."""
    pod: Pod
    generation: int
    """The how manieth worker of its pod it is: of several the newest serves."""
    version: str
    """The release that it was born of."""
    uid: int
    """The user that it was confined to."""
    settings: dict[str, Any]
    """Those it was born with, as this version or another wrote them."""
    namespace: tuple[int, int]
    """Device and inode of the pod's network namespace."""
    listeners: tuple[int, ...]
    """The inodes of its listening sockets: 15001, 15006, 15008, and those of 15053."""
    stage: Stage


class Records:
    """The records of one node."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> int:
        """Make the directory where it is not, and be the only keeper here as long as the descriptor is open.

        Raises RunDirError if another keeper is at work here, or somebody else made the directory.
        """
        with contextlib.suppress(FileExistsError):
            self._directory.mkdir(mode=0o700)
        held = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        status = os.fstat(held)
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) != 0o700:
            os.close(held)
            raise RunDirError(f"{self._directory} is not the keeper's own: remove it")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            os.close(held)
            raise RunDirError(f"another ztunnel keeps {self._directory.parent}: end it first") from fault
        return held

    def write(self, record: Record) -> None:
        """Put a record in place of what was known of this worker. What cannot be written is only complained of."""
        path = self._path(record.pid)
        fresh = path.with_suffix(".new")
        try:
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(asdict(record)), encoding="utf-8")
            fresh.replace(path)
        except OSError as fault:
            _log.warning("worker %d would not outlive this keeper: %s", record.pid, fault)

    def remove(self, pid: int) -> None:
        """Forget a worker."""
        with contextlib.suppress(OSError):
            self._path(pid).unlink(missing_ok=True)

    def read(self) -> list[Record]:
        """All that were left here; what cannot be read is removed."""
        found = []
        for path in sorted(self._directory.iterdir()):
            try:
                found.append(_parse(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError, KeyError) as fault:
                _log.warning("%s is no record of a worker: %r", path, fault)
                path.unlink()
        return found

    def _path(self, pid: int) -> Path:
        return self._directory / f"{pid}.json"


def _parse(text: str) -> Record:
    fields = json.loads(text)
    device, inode = fields["namespace"]
    return Record(
        pid=int(fields["pid"]),
        started=int(fields["started"]),
        pod=Pod(**fields["pod"]),
        generation=int(fields.get("generation", 0)),
        version=str(fields.get("version", "")),
        uid=int(fields["uid"]),
        settings=dict(fields["settings"]),
        namespace=(int(device), int(inode)),
        listeners=tuple(int(inode) for inode in fields["listeners"]),
        stage=Stage(fields["stage"]),
    )
