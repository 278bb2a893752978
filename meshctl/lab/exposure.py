"""Makes this Python reachable for the lab's users other than root.

Proxies and many containers have uids of their own. A Python below a home folder that only its owner may enter would
be out of their reach; in the lab's mount namespace such a folder is hidden and only the Python is shown in it.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import meshctl
from meshctl.lab import kernel
from meshctl.lab.privilege import several_users


def program_folders() -> list[Path]:
    """Return where this Python, its environment and this package are."""
    return sorted({Path(sys.base_prefix), Path(sys.prefix), Path(meshctl.__file__).resolve().parents[1]})


def expose_programs() -> None:
    """Show the program folders to every user, in this mount namespace. Raises OSError if the kernel refuses."""
    if not several_users():
        return
    closed = {folder: door for folder in program_folders() if (door := _closed_door(folder)) is not None}
    held = {folder: os.open(folder, os.O_PATH | os.O_CLOEXEC) for folder in closed}
    for door in sorted(set(closed.values())):
        kernel.mount("tmpfs", door, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    for folder, fd in held.items():
        folder.mkdir(parents=True, exist_ok=True)
        kernel.bind(f"/proc/self/fd/{fd}", folder, read_only=True)
        os.close(fd)


def _closed_door(folder: Path) -> Path | None:
    """Return the outermost folder on the way that only its owner or group may pass."""
    way = [*reversed(folder.parents), folder]
    return next((step for step in way if not step.stat().st_mode & stat.S_IXOTH), None)
