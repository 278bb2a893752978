"""Records on their way to metrics, log and spans: counted at once, written a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mesh.net.accesslog import AccessLog
    from mesh.net.deadlines import Deadlines, Wait
    from mesh.net.metrics import Metrics
    from mesh.net.spans import Spans
    from mesh.record import Record

_SECONDS: Final = 0.05
"""How long a record waits for others at most."""
_RECORDS: Final = 256


class Journal:
    """What a waypoint tells of its work."""

    def __init__(self, metrics: Metrics, access: AccessLog, deadlines: Deadlines, spans: Spans | None = None) -> None:
        self._metrics = metrics
        self._access = access
        self._deadlines = deadlines
        self._spans = spans
        self._waiting: list[Record] = []
        self._wait: Wait | None = None

    def note(self, record: Record) -> None:
        """Take one record in."""
        self._metrics.observe(record)
        if self._spans is not None:
            self._spans.note(record)
        self._waiting.append(record)
        if len(self._waiting) >= _RECORDS:
            self.flush()
        elif self._wait is None:
            self._wait = self._deadlines.after(_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
        waiting, self._waiting = self._waiting, []
        self._access.write_all(waiting)
