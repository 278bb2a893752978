"""The relay awake while trio sleeps: when trio would wait for its descriptors, the relay waits for those and its own.

So a turn of the relay wakes no task, and bytes pass through a process whose tasks all wait without trio being touched.
trio says when it is about to wait (trio.abc.Instrument); where its epoll is and whether a task can run is not public,
and is looked up here alone.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Sized
from time import monotonic
from typing import TYPE_CHECKING

import trio
from trio._core._run import GLOBAL_RUN_CONTEXT, SystemClock

if TYPE_CHECKING:
    from mesh.net.relay import Relay

_taken = trio.lowlevel.RunVar[bool]("a vigil is kept", default=False)


class Vigil(trio.abc.Instrument):
    """Turns one relay; a run of trio has room for one."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._runnable: deque[trio.lowlevel.Task]
        self._runnable, self._idlers, self._trio_epoll = _insides()
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._trio_is_ready = False
        self._fault: BaseException | None = None

    @staticmethod
    def vacant() -> bool:
        """Whether this run of trio has room for one. A test's clock has none: it jumps when only trio is idle."""
        return not _taken.get() and isinstance(trio.lowlevel.current_clock(), SystemClock)

    async def keep(self) -> None:
        """Keep it until cancelled; what goes wrong in a turn is raised here."""
        _taken.set(True)
        self._relay.watch(self._trio_epoll, self._trio_ready).want(select.EPOLLIN)
        trio.lowlevel.add_instrument(self)
        try:
            while self._fault is None:
                await trio.lowlevel.wait_readable(self._nudge)
                os.eventfd_read(self._nudge)
            raise self._fault
        finally:
            trio.lowlevel.remove_instrument(self)
            _taken.set(False)
            os.close(self._nudge)

    def before_io_wait(self, timeout: float) -> None:
        """Turn the relay until trio has something to do, or `timeout` seconds are over."""
        if self._fault is not None:
            return
        try:
            self._turn_until(timeout)
        except BaseException as fault:  # noqa: BLE001 - trio would only log it
            self._fault = fault
            os.eventfd_write(self._nudge, 1)

    def _turn_until(self, timeout: float) -> None:
        relay, runnable = self._relay, self._runnable
        relay.flush()
        if timeout <= 0 or self._idlers:
            # Who waits for idleness (only tests do) must not take trio for idle while the relay is not.
            if relay.turn(0) and not runnable:
                os.eventfd_write(self._nudge, 1)
            return
        end = monotonic() + timeout
        self._trio_is_ready = False
        while not runnable and not self._trio_is_ready:
            left = end - monotonic()
            if left <= 0:
                break
            relay.turn(left)
        if not self._trio_is_ready:
            os.eventfd_write(self._nudge, 1)  # or trio would sleep through what became runnable, or due, meanwhile

    def _trio_ready(self, _events: int) -> None:
        self._trio_is_ready = True


def _insides() -> tuple[deque[trio.lowlevel.Task], Sized, int]:
    """The tasks that trio will run next, those that wait until nothing happens, and the descriptor of its epoll."""
    runner = GLOBAL_RUN_CONTEXT.runner
    return runner.runq, runner.waiting_for_idle, runner.io_manager._epoll.fileno()
