"""A worker process as the keeper sees it: held by a pidfd, its child or that of the keeper before."""

from __future__ import annotations

import contextlib
import os
import signal

import trio

from ztunnel import fork


class Worker:
    """One worker, and the socket on which it says that it is ready. Closed when its end has been seen."""

    def __init__(self, pid: int, channel: int | None) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self._channel = channel
        """None for one that a keeper before us has seen ready."""

    def begin(self) -> None:
        """Let it begin; nothing happens if it has ended."""
        if self._channel is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._channel, fork.BEGIN)

    async def wait_ready(self) -> bool:
        """Whether the worker serves: False if it ended, or closed its end of the socket, without a word."""
        if self._channel is None:
            return True
        await trio.lowlevel.wait_readable(self._channel)
        try:
            return os.read(self._channel, 1) == b"R"
        except ConnectionResetError:
            return False

    async def wait(self) -> str:
        """Wait for its end and say how it came."""
        await trio.lowlevel.wait_readable(self.pidfd)
        return self.reap()

    def reap(self) -> str:
        """Take note of its end, if it has ended and is our child; says how it came."""
        try:
            found = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return "ended"
        if found is None or found.si_code == os.CLD_EXITED:
            return f"exited with status {found.si_status if found else 0}"
        return f"was ended by signal {found.si_status}"

    def send(self, what: signal.Signals) -> None:
        """Signal it; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, what)

    async def retire(self, patience: float, hurry: trio.Event) -> str:
        """Relieve it, and let it drain for so many seconds or until `hurry`; how it ended, if it has."""
        self.send(signal.SIGUSR1)
        how = ""

        async def see_the_end(scope: trio.CancelScope) -> None:
            nonlocal how
            how = await self.wait()
            scope.cancel()

        with trio.move_on_after(patience):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(see_the_end, nursery.cancel_scope)
                await hurry.wait()
                nursery.cancel_scope.cancel()
        return how

    async def end(self, patience: float) -> str:
        """Let it drain for so many seconds at most, then kill it; says how it ended."""
        self.send(signal.SIGTERM)
        how = ""
        with trio.move_on_after(patience):
            how = await self.wait()
        if not how:
            self.send(signal.SIGKILL)
            how = f"did not drain in {patience:g} s and {await self.wait()}"
        return how

    def close(self) -> None:
        """Let go of its descriptors; the process itself is not touched."""
        os.close(self.pidfd)
        if self._channel is not None:
            os.close(self._channel)
