"""The world of the moment, for those who look at it from time to time or wait for it to change."""

from __future__ import annotations

import asyncio

from istiod_lite.world import World


class Present:
    """Holds the newest world."""

    def __init__(self) -> None:
        self.world = World()
        self._changed = asyncio.Event()

    def become(self, world: World) -> None:
        """Hold this world from now on, and wake those who wait for another than they saw."""
        self.world = world
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait until there is another world than now."""
        await self._changed.wait()
