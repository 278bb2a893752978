"""Many short waits and one task: each comes due at its time, unless it was called off."""

from __future__ import annotations

import trio
import trio.testing

from mesh.net.deadlines import Deadlines


async def test_waits_come_due_in_time_whatever_their_order(autojump_clock: trio.testing.MockClock) -> None:
    heard: list[tuple[str, float]] = []
    deadlines, began = Deadlines(), trio.current_time()

    def note(name: str) -> None:
        heard.append((name, round(trio.current_time() - began, 3)))

    async with trio.open_nursery() as nursery:
        deadlines.after(3.0, lambda: note("three"))
        nursery.start_soon(deadlines.run)
        await trio.sleep(1)
        deadlines.after(0.5, lambda: note("half, later"))
        deadlines.after(3.0, lambda: note("three, later"))
        await trio.sleep(10)
        deadlines.after(1.0, lambda: note("after a long rest"))
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert heard == [("half, later", 1.5), ("three", 3.0), ("three, later", 4.0), ("after a long rest", 12.0)]


async def test_what_was_called_off_never_comes_and_the_others_do(autojump_clock: trio.testing.MockClock) -> None:
    heard: list[int] = []
    deadlines = Deadlines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        waits = [deadlines.after(1.0, lambda number=number: heard.append(number)) for number in range(1000)]
        for wait in waits[::2]:
            wait.cancel()
            wait.cancel()
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert heard == list(range(1, 1000, 2))


async def test_an_action_may_begin_another_wait(autojump_clock: trio.testing.MockClock) -> None:
    deadlines, began = Deadlines(), trio.current_time()
    times: list[float] = []

    def again() -> None:
        times.append(round(trio.current_time() - began, 3))
        if len(times) < 4:
            deadlines.after(0.25, again)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        deadlines.after(0.25, again)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert times == [0.25, 0.5, 0.75, 1.0]
