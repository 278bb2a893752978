"""Which release the keeper becomes: one that somebody names, or one that was put in place of its own."""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
from collections.abc import Callable
from typing import Final

import trio

from ztunnel import release
from ztunnel.release import Release, Watch

_PATIENCE: Final = 20.0
_LOOK_EVERY: Final = 5.0
"""Seconds between two looks at what is on disk."""

_log = logging.getLogger("ztunnel.keeper")


class Unusable(Exception):
    """No ztunnel can be run there; the text says why."""


async def find(python: str) -> Release:
    """The release that is installed for an interpreter; it is run to see that it can be. Raises Unusable."""
    command = Release(python, "").command("--version")
    try:
        with trio.fail_after(_PATIENCE):
            done = await trio.run_process(
                command, stdin=subprocess.DEVNULL, capture_stdout=True, capture_stderr=True, check=False
            )
    except (OSError, trio.TooSlowError) as fault:
        raise Unusable(f"{python} cannot be run: {fault or 'it does not answer'}") from fault
    version = release.version_said(done.stdout.decode(errors="replace"))
    if done.returncode or version is None:
        complaint = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unusable(f"{python} has no ztunnel that runs: {complaint or 'it says no version'}")
    return Release(python, version)


async def watch(running: Release, found: Callable[[Release], None]) -> None:
    """Tell of another version on disk, as soon as it can be run; for ever."""
    watched = Watch(running.version)
    while True:
        await trio.sleep(_LOOK_EVERY)
        try:
            version: str | None = release.installed().version
        except importlib.metadata.PackageNotFoundError:
            version = None
        if not watched.due(version):
            continue
        try:
            found(await find(running.python))
        except Unusable as fault:
            _log.warning("version %s was installed, but: %s", version, fault)
