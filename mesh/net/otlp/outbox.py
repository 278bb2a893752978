"""Spans that wait to be sent, so many at most, and the thread that sends them."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mesh import spanline
from mesh.net.otlp.readable import Readable

_WAITING: Final = 8192
_BATCH: Final = 512
_SECONDS: Final = 0.5
"""How long the first span of a batch waits for others."""

_log = logging.getLogger("spans")


@dataclass(frozen=True, slots=True)
class Sent:
    """What has become of all spans so far."""

    exported: int = 0
    dropped: int = 0
    """There was no room, because the receiver was slow."""
    failed: int = 0
    """The receiver did not take them."""


class Outbox:
    """Sends lines as spans, in batches. `told` hears in the sending thread what has become of all so far."""

    def __init__(self, exporter: SpanExporter, readable: Readable, told: Callable[[Sent], None]) -> None:
        self._exporter = exporter
        self._readable = readable
        self._told = told
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="export", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Send a span some time."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def end(self, seconds: float) -> None:
        """Send what waits, as far as that is done within so many seconds."""
        deadline = time.monotonic() + seconds
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        sent, ending = Sent(), False
        while not ending:
            lines, ending = self._batch()
            taken = self._taken(lines) if lines else 0
            exported, failed = sent.exported + taken, sent.failed + len(lines) - taken
            sent = Sent(exported, self._dropped, failed)
            self._told(sent)
        self._exporter.shutdown()

    def _batch(self) -> tuple[list[bytes], bool]:
        """The next lines, and whether they are the last."""
        first = self._waiting.get()
        if first is None:
            return [], True
        lines, deadline = [first], time.monotonic() + _SECONDS
        while len(lines) < _BATCH:
            try:
                line = self._waiting.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if line is None:
                return lines, True
            lines.append(line)
        return lines, False

    def _taken(self, lines: list[bytes]) -> int:
        """How many of them the receiver has taken."""
        spans = [span for line in lines if (span := self._span(line)) is not None]
        try:
            good = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001  whatever a receiver or a library does wrong costs these spans and no more
            _log.exception("%d spans could not be sent", len(spans))
            return 0
        return len(spans) if good else 0

    def _span(self, line: bytes) -> ReadableSpan | None:
        try:
            return self._readable.of(spanline.read(line))
        except (ValueError, KeyError, TypeError):
            _log.exception("a span could not be read")
            return None
