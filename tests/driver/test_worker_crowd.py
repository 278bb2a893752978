"""A worker that drains waits for those whom it serves, and in the end sends them away."""

from __future__ import annotations

import trio

from ztunnel.worker.crowd import Crowd


class Visitor:
    def __init__(self, crowd: Crowd, farewells: list[Visitor]) -> None:
        self._crowd = crowd
        self._farewells = farewells
        crowd.enter(self)

    def leave(self) -> None:
        self._crowd.leave(self)

    def abort(self) -> None:
        self._farewells.append(self)
        self.leave()


async def test_it_is_over_when_the_last_has_left(autojump_clock):
    crowd, farewells = Crowd(lambda _: None), []
    first, second = Visitor(crowd, farewells), Visitor(crowd, farewells)

    async def go() -> None:
        await trio.sleep(1)
        first.leave()
        third = Visitor(crowd, farewells)
        await trio.sleep(1)
        second.leave()
        await trio.sleep(1)
        third.leave()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go)
        await crowd.gone()
    assert trio.current_time() >= 3
    assert farewells == []


async def test_who_outlives_the_patience_is_sent_away_the_latest_first(autojump_clock):
    crowd, farewells = Crowd(lambda _: None), []
    tunnel, stream = Visitor(crowd, farewells), Visitor(crowd, farewells)
    with trio.move_on_after(1):
        await crowd.gone()
    assert farewells == [stream, tunnel]


async def test_nobody_there_is_nothing_to_wait_for(autojump_clock):
    await Crowd(lambda _: None).gone()
