"""Everyone whom the worker serves at this moment, so that it knows when all have gone, and can send them away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from ztunnel.channel.sighting import Sighting

Tell = Callable[[Sighting], None]


class Guest(Protocol):
    """A connection or request that is being served, or a tunnel that may bring some."""

    def abort(self) -> None:
        """End now, because the worker ends."""


class Crowd:
    """Who is here; `tell` hears what becomes of them."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self._here: dict[Guest, None] = {}
        self._empty = trio.Event()
        self._empty.set()

    def enter(self, guest: Guest) -> None:
        """It is served from now on."""
        if not self._here:
            self._empty = trio.Event()
        self._here[guest] = None

    def leave(self, guest: Guest) -> None:
        """It is over."""
        self._here.pop(guest, None)
        if not self._here:
            self._empty.set()

    async def gone(self) -> None:
        """Wait until nobody is here; when cancelled, all are sent away, a tunnel behind what it brought."""
        try:
            while self._here:
                await self._empty.wait()
        finally:
            for guest in reversed(tuple(self._here)):
                guest.abort()
