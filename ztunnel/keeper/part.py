"""A part of ztunnel that is a program of its own beside the keeper: started, talked to, started again when it ends."""

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from ztunnel.keeper.backoff import Backoff
from ztunnel.release import Release

_PATIENCE: Final = 2.0
"""Seconds that a part has to end by itself when the keeper does."""

_log = logging.getLogger("ztunnel.keeper")


@dataclass(frozen=True, slots=True)
class Programs:
    """The commands of the parts; each is given the descriptor of its socket to the keeper as one argument more."""

    zygote: tuple[str, ...]
    supervisor: tuple[str, ...]

    @classmethod
    def of(cls, release: Release) -> Programs:
        """Those of a release."""
        return cls(zygote=release.command("zygote"), supervisor=release.command("supervisor"))


async def keep_running(
    command: tuple[str, ...], kind: socket.SocketKind, talk: Callable[[trio.socket.SocketType], Awaitable[None]]
) -> None:
    """Run a part for ever, and `talk` to each that runs over our end of its socket until it ends.

    The part has a session of its own: what a terminal sends is for the keeper, who decides what becomes of it.
    """
    backoff = Backoff(first=0.1, most=5.0)
    while True:
        born = trio.current_time()
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        with trio.socket.from_stdlib_socket(ours) as channel:
            with theirs:
                process = await trio.lowlevel.open_process(
                    [*command, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(talk, channel)
                    await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await _end(process)
        _log.warning("the %s ended with status %s; starting another", command[-1], process.returncode)
        await trio.sleep(backoff.after(trio.current_time() - born))


async def _end(process: trio.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with trio.move_on_after(_PATIENCE):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
