"""Our spans as OpenTelemetry's SDK has them."""

from __future__ import annotations

from importlib.metadata import version

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from mesh.span import Span, Value
from mesh.trace import TraceContext


class Readable:
    """Turns the spans of one proxy, which `resource` describes."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("ambit", version("ambit-mesh"))

    def of(self, span: Span) -> ReadableSpan:
        """The same span."""
        step = span.step
        parent = TraceContext(step.own.trace, step.parent, step.own.flags, step.own.state) if step.parent else None
        return ReadableSpan(
            _printable(span.name),
            context=_context(step.own, remote=False),
            parent=None if parent is None else _context(parent, remote=True),
            resource=self._resource,
            attributes={name: _sendable(value) for name, value in (*span.way.items(), *span.attributes.items())},
            events=[Event(_printable(name), timestamp=at) for name, at in span.events],
            links=[] if step.link is None else [Link(_context(step.link, remote=True))],
            kind=SpanKind[span.kind],
            instrumentation_scope=self._scope,
            status=Status() if span.error is None else Status(StatusCode.ERROR, _printable(span.error) or None),
            start_time=span.start,
            end_time=span.end,
        )


def _sendable(value: Value) -> Value:
    return _printable(value) if isinstance(value, str) else value


def _printable(text: str) -> str:
    """The text without what UTF-8 has no bytes for, which would cost a whole batch."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _context(of: TraceContext, *, remote: bool) -> SpanContext:
    state = TraceState.from_header([of.state]) if of.state else None
    return SpanContext(int(of.trace, 16), int(of.span, 16), remote, TraceFlags(of.flags), state)
