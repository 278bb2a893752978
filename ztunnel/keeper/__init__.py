"""The keeper: the one part of a node's ztunnel that stays privileged, and outlives all others.

It follows the CNI agent, owns every pod's listeners and capture rules, and keeps the zygote, the supervisor and the
workers running. It touches no byte of anybody's traffic and holds no key.

node         all pods; podproxy: one; listeners, worker, rules: what each has.
forks        the line to the zygote; roster: the line to the supervisor; part: how both are kept running.
agent        the CNI agent's requests; desk: those of the node's administrator; readiness: what is awaited.
record       what is written down of a worker; adoption, inheritance, remains: what the next keeper makes of it.
succession   which workers it keeps and which it replaces; upgrade: when it becomes another release.
"""

from __future__ import annotations

import os
from pathlib import Path

import trio

from ztunnel import confine
from ztunnel.config import Config
from ztunnel.keeper.inheritance import Inheritance
from ztunnel.keeper.node import Node
from ztunnel.keeper.part import Programs
from ztunnel.keeper.rundir import make_run_dir
from ztunnel.release import Release


def run(config: Config, own: Release, programs: Programs | None = None) -> None:
    """Keep a node's pods until SIGTERM or SIGINT. Raises OSError or RunDirError when it cannot even begin.

    Told to upgrade, this process becomes the keeper of the other release (execve(2)): it stays the workers' parent and
    holds on to their listeners. Other `programs` than those of the release are for tests.
    """
    inheritance = Inheritance.of_this_process()
    make_run_dir(config.run_dir, Path("/proc/self/uid_map").read_text())
    confine.name_process("zt-keeper")
    confine.adopt_orphans()
    confine.keep_only(confine.KEEPER)
    successor = trio.run(Node(config, own, programs or Programs.of(own), inheritance).run)
    if successor is not None:
        command = successor.command("serve")
        os.execv(command[0], command)  # noqa: S606 -- there is no shell in it
