"""What the node knows of the mesh right now, and who wants to hear when that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mesh.snapshot import Change, Snapshot
from ztunnel.supervisor.sight import Topics, touched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.xds.codec import Rejection

Listener = Callable[[Topics | None], None]
"""Hears which topics a change has touched; None: it may be any."""

_MANY: Final = 1000
"""Changes at once beyond which it is not worth telling them apart."""


class State:
    """The snapshot as far as istiod has told it. When istiod is away it stays as it was."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.synced = False
        """Everything was told once; what is not in the snapshot then does not exist. Until then nobody is answered."""
        self.connected = False
        """Istiod is telling us of changes."""
        self._listeners: set[Listener] = set()

    def apply(self, changes: list[Change]) -> Sequence[Rejection]:
        """Take in changes. Whatever could be read is accepted."""
        topics = touched(self.snapshot, changes) if len(changes) <= _MANY else None
        self.snapshot = self.snapshot.apply(changes)
        self._announce(topics)
        return ()

    def note_synced(self) -> None:
        """Istiod has told everything."""
        self.synced = True
        self._announce(None)

    def note_connected(self, connected: bool) -> None:
        """The stream from istiod began or ended."""
        self.connected = connected

    @contextmanager
    def heard(self, listener: Listener) -> Iterator[None]:
        """Call `listener` after every change while the block runs, with the topics that were touched."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def _announce(self, topics: Topics | None) -> None:
        for listener in tuple(self._listeners):
            listener(topics)
