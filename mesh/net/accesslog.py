"""The access log: one line for each record, in ztunnel's form or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from mesh.record import Event, Record, event_fields, log_fields, severe, way_fields

_BARE: Final = frozenset({"src.addr", "dst.addr", "dst.hbone_addr"})
"""Texts that stand without quotes, as numbers do."""
_WAYS: Final = 4096
"""Ways whose text is kept at hand."""

Clock = Callable[[], datetime]


def text_line(record: Record, at: datetime) -> str:
    """`<time>\\t<level>\\taccess\\t<event>\\t<fields>` in one line: control characters in values are escaped."""
    return _text(record, _stamp(at), _shown(way_fields(record)))


def json_line(record: Record, at: datetime) -> str:
    """The same as one JSON object with level, time, scope and message first."""
    head = {"level": _level(record), "time": _stamp(at), "scope": "access", "message": record.event.value}
    return json.dumps(head | dict(log_fields(record)), ensure_ascii=True)


class AccessLog:
    """Writes records to standard output. `openings` adds a line when a connection opens, not only when it ends."""

    def __init__(self, *, as_json: bool = False, openings: bool = True, clock: Clock | None = None) -> None:
        self._as_json = as_json
        self._ways: dict[tuple[object, ...], tuple[str, Record]] = {}
        self._openings = openings
        self._clock = clock or _now

    def write(self, record: Record) -> None:
        """Write the record's line; a reader that went away loses lines, it does not stop traffic."""
        self.write_all((record,))

    def write_all(self, records: Iterable[Record]) -> None:
        """The same for many, in one piece."""
        wanted = [record for record in records if record.event is not Event.OPENED or self._openings]
        at = self._clock()
        if self._as_json:
            lines = [json_line(record, at) for record in wanted]
        else:
            stamp = _stamp(at)
            lines = [_text(record, stamp, self._way(record)) for record in wanted]
        try:
            sys.stdout.write("".join([f"{line}\n" for line in lines]))
            sys.stdout.flush()
        except OSError:
            return

    def _way(self, record: Record) -> str:
        """The text of the way. Parties are told apart by being the same object: the record kept keeps them alive."""
        key = (id(record.source), id(record.destination), id(record.tunnel), record.service, record.reporter)
        known = self._ways.get(key)
        if known is None:
            if len(self._ways) >= _WAYS:
                self._ways.clear()
            known = self._ways[key] = _shown(way_fields(record)), record
        return known[0]


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _level(record: Record) -> str:
    return "error" if severe(record) else "info"


def _text(record: Record, stamp: str, way: str) -> str:
    return f"{stamp}\t{_level(record)}\taccess\t{record.event.value}\t{way} {_shown(event_fields(record))}".rstrip(" ")


def _shown(fields: Iterable[tuple[str, str | int]]) -> str:
    return " ".join(
        [
            f"{name}={value}" if isinstance(value, int) or name in _BARE else f"{name}={quoted(value)}"
            for name, value in fields
        ]
    )
