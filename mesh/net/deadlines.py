"""What is to be done at a given time unless it is called off before: for many short waits, one task in all.

Waits of equal length come due in the order in which they began. So there is a row for each length; to begin a wait, to
call it off and to find the next one are single steps, however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio


class Wait:
    """One wait; `cancel` calls it off."""

    __slots__ = ("_action", "_row", "due")

    def __init__(self, row: dict[Wait, None], due: float, action: Callable[[], None]) -> None:
        self._row = row
        self._action = action
        self.due = due
        row[self] = None

    def cancel(self) -> None:
        """Forget it. Done twice, or after the time, this does nothing."""
        self._row.pop(self, None)

    def fire(self) -> None:
        """It is time."""
        self.cancel()
        self._action()


class Deadlines:
    """All waits of one loop. `run` must be running for any of them to come due."""

    def __init__(self) -> None:
        self._rows: dict[float, dict[Wait, None]] = {}
        self._sleep = trio.CancelScope()

    def after(self, seconds: float, action: Callable[[], None]) -> Wait:
        """Call `action` in so many seconds. It must not raise."""
        row = self._rows.get(seconds)
        if row is None:
            row = self._rows[seconds] = {}
        due = trio.current_time() + seconds
        wait = Wait(row, due, action)
        self._sleep.deadline = min(self._sleep.deadline, due)
        return wait

    async def run(self) -> None:
        """Keep the time until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next()) as self._sleep:
                await trio.sleep_forever()
            self._fire(trio.current_time())

    def _next(self) -> float:
        return min((next(iter(row)).due for row in self._rows.values() if row), default=math.inf)

    def _fire(self, now: float) -> None:
        for length, row in list(self._rows.items()):
            while row and (first := next(iter(row))).due <= now:
                first.fire()
            if not row and self._rows.get(length) is row:
                del self._rows[length]
