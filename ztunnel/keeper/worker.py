"""A worker process as the keeper sees it: its child, held by a pidfd."""

from __future__ import annotations

import contextlib
import os
import signal

import trio


class Worker:
    """One live worker, and the pipe on which it says that it is ready. Closed when its end has been seen."""

    def __init__(self, pid: int, ready: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._ready = ready

    async def wait_ready(self) -> bool:
        """Whether the worker serves: False if it ended, or closed its end of the pipe, without a word."""
        await trio.lowlevel.wait_readable(self._ready)
        return os.read(self._ready, 1) == b"R"

    async def wait(self) -> str:
        """Wait for its end and say how it came."""
        await trio.lowlevel.wait_readable(self._pidfd)
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222 -- does not wait
        except ChildProcessError:
            return "ended"
        if found is None or found.si_code == os.CLD_EXITED:
            return f"exited with status {found.si_status if found else 0}"
        return f"was ended by signal {found.si_status}"

    def send(self, what: signal.Signals) -> None:
        """Signal it; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, what)

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
        os.close(self._pidfd)
        os.close(self._ready)
