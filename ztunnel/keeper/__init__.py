"""The keeper: the one part of a node's ztunnel that stays privileged, and outlives all others.

It follows the CNI agent, owns every pod's listeners and capture rules, and keeps the zygote, the supervisor and the
workers running. It touches no byte of anybody's traffic and holds no key.
"""

from __future__ import annotations

from pathlib import Path

import trio

from ztunnel import confine
from ztunnel.config import Config
from ztunnel.keeper.node import Node
from ztunnel.keeper.part import Programs
from ztunnel.keeper.rundir import make_run_dir


def run(config: Config, programs: Programs) -> None:
    """Keep a node's pods until SIGTERM or SIGINT. Raises OSError or RunDirError when it cannot even begin."""
    make_run_dir(config.run_dir, Path("/proc/self/uid_map").read_text())
    confine.name_process("zt-keeper")
    confine.adopt_orphans()
    trio.run(Node(config, programs).run)
