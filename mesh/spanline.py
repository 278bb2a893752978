"""Records as lines of JSON, in which a proxy hands them to its exporter, which makes the spans of them. Pure.

What the hot loop does for a span is to write down what happened; the text of a way is made once and put behind every
record that went it, as access lines have theirs.
"""

from __future__ import annotations

import json
from typing import Any, Final

from mesh.address import Address
from mesh.record import Event, HttpOutcome, Party, Record, Reporter
from mesh.refusal import Reason, Refusal
from mesh.span import Span, span_of, way_attributes
from mesh.trace import Step, TraceContext

_WAYS: Final = 4096
"""Ways whose text is kept at hand."""
_LONGEST: Final = 2048
"""Characters of what a caller wrote; a span has less."""
_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_reasons: Final = {reason.value: reason for reason in Reason}


class SpanLines:
    """Writes the records of one proxy."""

    def __init__(self) -> None:
        self._ways: dict[tuple[object, ...], tuple[str, Record]] = {}

    def line(self, record: Record, step: Step, ended: int) -> str:
        """The line of a record that came to its end at `ended`, in nanoseconds since 1970; without a line feed."""
        http, refusal, to = record.http, record.refusal, record.destination.address
        happened = (
            ended,
            record.reporter.value,
            record.service,
            str(to) if to is not None and http is None else "",
            record.sent,
            record.received,
            record.seconds,
            record.connect_seconds,
            record.first_byte_seconds,
            record.moments,
            record.ending,
            record.policy,
            record.dry_run,
            record.audit,
            None if refusal is None else (refusal.reason.value, refusal.detail),
            None if http is None else _http(http),
            _context(step.own),
            step.parent,
            None if step.link is None else _context(step.link),
        )
        return f"[{_encode(happened)},{self._way(record)}]"

    def _way(self, record: Record) -> str:
        """Parties are told apart by being the same object: the record kept keeps them alive."""
        key = (id(record.source), id(record.destination), id(record.tunnel), record.service, record.reporter)
        known = self._ways.get(key)
        if known is None:
            if len(self._ways) >= _WAYS:
                self._ways.clear()
            known = self._ways[key] = _encode(dict(way_attributes(record))), record
        return known[0]


def read(line: bytes) -> Span:
    """The span of a line; raises ValueError, KeyError or TypeError where it is none."""
    happened, way = json.loads(line)
    (
        ended, reporter, service, to, sent, received, seconds, connect, first_byte, moments, ending, policy, dry_run,
        audit, refusal, http, own, parent, link,
    ) = happened  # fmt: skip
    step = Step(TraceContext(*own), parent, None if link is None else TraceContext(*link))
    record = Record(
        Event.CLOSED if http is None else Event.REQUEST,
        Reporter(reporter),
        Party(),
        Party(Address.parse(to) if to else None),
        service=service,
        sent=sent,
        received=received,
        seconds=seconds,
        connect_seconds=connect,
        first_byte_seconds=first_byte,
        moments=tuple((name, after) for name, after in moments),
        ending=ending,
        policy=policy,
        dry_run=dry_run,
        audit=audit,
        refusal=None if refusal is None else Refusal(_reasons[refusal[0]], refusal[1]),
        http=None if http is None else HttpOutcome(*http),
    )
    return span_of(record, step, ended, way)


def _context(one: TraceContext) -> tuple[str, str, int, str]:
    return one.trace, one.span, one.flags, one.state


def _http(http: HttpOutcome) -> tuple[Any, ...]:
    return (
        http.method[:_LONGEST],
        http.host[:_LONGEST],
        http.path.partition("?")[0][:_LONGEST],
        http.protocol,
        http.status,
        http.grpc_status,
        http.request_id[:_LONGEST],
        http.route,
        http.backend,
    )
