"""What the node knows of the mesh right now, and who wants to hear when that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mesh.snapshot import Change, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.xds.codec import Rejection


class State:
    """The snapshot as far as istiod has told it. When istiod is away it stays as it was."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.synced = False
        """Everything was told once; what is not in the snapshot then does not exist. Until then nobody is answered."""
        self.connected = False
        """Istiod is telling us of changes."""
        self._listeners: set[Callable[[], None]] = set()

    def apply(self, changes: list[Change]) -> Sequence[Rejection]:
        """Take in changes. Whatever could be read is accepted."""
        self.snapshot = self.snapshot.apply(changes)
        self._announce()
        return ()

    def note_synced(self) -> None:
        """Istiod has told everything."""
        self.synced = True
        self._announce()

    def note_connected(self, connected: bool) -> None:
        """The stream from istiod began or ended."""
        self.connected = connected

    @contextmanager
    def heard(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` after every change while the block runs."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def _announce(self) -> None:
        for listener in tuple(self._listeners):
            listener()
