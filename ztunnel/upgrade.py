"""`ztunnel upgrade`: hands this node over to the ztunnel that the command belongs to, and waits until it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ztunnel import command
from ztunnel.release import Release

_LOOK_EVERY: Final = 0.2
_ANSWER_SECONDS: Final = 30.0


class UpgradeFailed(Exception):
    """The node is not, or not yet, as it was to be; the text says why."""


def upgrade(keeper: Path, to: Release, patience: float, say: Callable[[str], None]) -> None:
    """Have the keeper at this socket become `to`; return when it serves every pod. Raises UpgradeFailed.

    Workers that it replaced may still drain then. After `patience` seconds it is left to go on by itself.
    """
    deadline = time.monotonic() + patience
    answer = _ask(keeper, command.Upgrade(to.python))
    if not isinstance(answer, command.Upgrading):
        raise UpgradeFailed(answer.why if isinstance(answer, command.Refused) else "the keeper misunderstood")
    say(f"from version {answer.before} to version {answer.after}")
    standing: command.Standing | None = None
    while time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY)
        try:
            told = _ask(keeper, command.Status())
        except UpgradeFailed:
            continue  # between two releases nobody is there
        standing = told if isinstance(told, command.Standing) else standing
        if standing is not None and standing.settled(to.version):
            drain = sum(one.stage == "leaving" for one in standing.workers)
            say(f"version {to.version} serves {len(standing.workers) - drain} pods; {drain} old workers drain")
            return
    raise UpgradeFailed(f"not done after {patience:g} s: {_obstacle(standing, to)}; it goes on")


def _obstacle(standing: command.Standing | None, to: Release) -> str:
    if standing is None:
        return "no keeper answers"
    if standing.version != to.version:
        return f"the keeper is of version {standing.version}"
    return "; ".join(standing.pending) or "workers of the old version still serve"


def _ask(
    keeper: Path, request: command.Upgrade | command.Status
) -> command.Upgrading | command.Refused | command.Standing:
    text = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_ANSWER_SECONDS)
            sock.connect(str(keeper))
            sock.sendall(command.encode(request))
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                text += data
                if len(text) > command.LARGEST:
                    raise UpgradeFailed(f"what answers at {keeper} is no keeper")
        return command.parse_answer(text)
    except OSError as fault:
        raise UpgradeFailed(f"no keeper answers at {keeper}: {fault}") from fault
    except command.CommandError as fault:
        raise UpgradeFailed(f"the answer of the keeper at {keeper} is not understood: {fault}") from fault
