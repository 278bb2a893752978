"""What the waypoint knows and holds right now: its configuration and its credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import trio

from mesh.net.tls import Credentials
from mesh.snapshot import Change, Snapshot

if TYPE_CHECKING:
    from mesh.xds.codec import Rejection


class State:
    """The snapshot as istiod has told it; when istiod is away it stays as it was."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.credentials: Credentials | None = None
        self.connected = False
        """Istiod is telling of changes."""
        self.draining = False
        self.complete = trio.Event()
        """The credentials are there, and everything was told once."""
        self.completed: Callable[[Sequence[Change]], Sequence[Change]] = lambda changes: changes
        """Adds to what istiod tells what it leaves us to find out."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after the snapshot has changed."""
        self.on_credentials: Callable[[Credentials], None] = lambda _: None
        """Called with every renewed certificate."""
        self._synced = False

    def apply(self, changes: list[Change]) -> Sequence[Rejection]:
        """Take in changes. Whatever could be read is accepted."""
        self.snapshot = self.snapshot.apply(self.completed(changes))
        self.on_change()
        return ()

    def note_synced(self) -> None:
        """Istiod has told everything."""
        self._synced = True
        self._check()

    def note_connected(self, connected: bool) -> None:
        """The stream from istiod began or ended."""
        self.connected = connected

    def note_credentials(self, credentials: Credentials) -> None:
        """A certificate, the first or a new one."""
        self.credentials = credentials
        self.on_credentials(credentials)
        self._check()

    def pending(self) -> Iterator[str]:
        """What keeps the waypoint from being ready, in words."""
        if self.credentials is None:
            yield "no certificate yet"
        if not self._synced:
            yield "istiod has not told everything yet"
        if self.draining:
            yield "it is draining"

    def _check(self) -> None:
        if self._synced and self.credentials is not None:
            self.complete.set()
