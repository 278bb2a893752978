"""The access log: one line for each record, in ztunnel's form or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from mesh.record import Event, Record, log_fields, severe

_BARE: Final = ("addr", "bytes_sent", "bytes_recv", "status", "grpc_status")
"""Fields that stand without quotes, by the end of their name."""

Clock = Callable[[], datetime]


def text_line(record: Record, at: datetime) -> str:
    """`<time>\\t<level>\\taccess\\t<event>\\t<fields>` in one line: control characters in values are escaped."""
    shown = (f"{name}={_shown(name, value)}" for name, value in log_fields(record))
    return "\t".join((_stamp(at), _level(record), "access", record.event.value, " ".join(shown)))


def json_line(record: Record, at: datetime) -> str:
    """The same as one JSON object with level, time, scope and message first."""
    head = {"level": _level(record), "time": _stamp(at), "scope": "access", "message": record.event.value}
    return json.dumps(head | dict(log_fields(record)), ensure_ascii=True)


class AccessLog:
    """Writes records to standard output. `openings` adds a line when a connection opens, not only when it ends."""

    def __init__(self, *, as_json: bool = False, openings: bool = True, clock: Clock | None = None) -> None:
        self._line = json_line if as_json else text_line
        self._openings = openings
        self._clock = clock or _now

    def write(self, record: Record) -> None:
        """Write the record's line; a reader that went away loses lines, it does not stop traffic."""
        self.write_all((record,))

    def write_all(self, records: Iterable[Record]) -> None:
        """The same for many, in one piece."""
        at = self._clock()
        lines = [
            self._line(record, at) + "\n" for record in records if record.event is not Event.OPENED or self._openings
        ]
        try:
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
        except OSError:
            return


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _level(record: Record) -> str:
    return "error" if severe(record) else "info"


def _shown(name: str, value: str | int) -> str:
    if isinstance(value, int) or name.endswith(_BARE):
        return str(value)
    return quoted(value)
