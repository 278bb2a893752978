"""How long to wait before something that ended is started again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """At once the first time, then `first` seconds and twice as long each time, up to `most`.

    What lived at least `healthy` seconds starts over at once.
    """

    first: float
    most: float
    healthy: float = 10.0
    _next: float = 0.0

    def after(self, lived: float) -> float:
        """Seconds to wait, for something that has lived so many seconds."""
        delay = 0.0 if lived >= self.healthy else self._next
        self._next = min(self.most, max(self.first, 2 * delay))
        return delay
