"""The directory of the node proxy's sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ztunnel import confine


class RunDirError(Exception):
    """Workers could not reach the directory; the text names what is in the way and the mend."""


def make_run_dir(path: Path, uid_map: str) -> None:
    """Make it, where it is not: workers pass through, the supervisor makes its socket there, nobody lists it.

    Sticky, so that the supervisor removes nothing but its own. Raises RunDirError or OSError.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not confine.maps_user(uid_map, confine.SUPERVISOR_UID):
        path.chmod(0o700)
        return
    os.chown(path, -1, confine.SUPERVISOR_UID)
    path.chmod(0o1731)
    for parent in path.resolve().parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise RunDirError(
                f"workers, each a user of its own, cannot reach {path}: make {parent} passable (chmod o+x {parent})"
            )
