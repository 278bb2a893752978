"""Everything meshctl reads from its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def chosen_lab() -> str | None:
    """Return the lab named by AMBIT_LAB, if any."""
    return os.environ.get("AMBIT_LAB") or None


def labs_folder() -> Path:
    """Return the folder that holds one folder per lab: root's is under /run, a user's is the user's own."""
    if os.geteuid() == 0:
        return Path("/run/ambit/labs")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "ambit" / "labs" if runtime else Path(f"/tmp/ambit-{os.geteuid()}/labs")  # noqa: S108


def program_path() -> str:
    """Return the PATH for everything a lab runs: this Python's own programs come first."""
    inherited = os.environ.get("PATH", os.defpath)
    return f"{Path(sys.executable).parent}:{inherited}:/usr/sbin:/sbin"


def terminal_kind() -> str:
    """Return what kind of terminal this is, as terminfo names it."""
    return os.environ.get("TERM") or "dumb"
