"""What the workers tell of their pods' connections, completed: access log, metrics, spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from mesh.net.metrics import Metrics
from mesh.net.spans import Spans
from mesh.record import Record
from ztunnel.channel.message import Report
from ztunnel.channel.sighting import complete
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.state import State
from ztunnel.worker.start import Pod

_LINES: Final = 4096
"""Records that may wait for the log's reader; more are counted and not logged."""


class Ledger:
    """Counts every record of the node and logs it. A slow reader of the log holds nobody up."""

    def __init__(
        self,
        state: State,
        place: Place,
        metrics: Metrics,
        write: Callable[[list[Record]], None],
        spans: Spans | None = None,
    ) -> None:
        self._state = state
        self._place = place
        self._metrics = metrics
        self._write = write
        self._spans = spans
        self._lines, self._waiting = trio.open_memory_channel[Record](_LINES)
        self._untold = metrics.counter("ambit_records_untold", "Connections that a worker had no room to tell of")
        self._unlogged = metrics.counter(
            "ambit_records_unlogged", "Records that the access log's reader had no room for"
        )

    def take(self, pod: Pod, report: Report) -> None:
        """Write down what the worker of this pod told."""
        snapshot = self._state.snapshot
        own, identity = self._place.workload(snapshot, pod), self._place.identity(pod)
        record = complete(report.sighting, snapshot, own, identity, self._place.network)
        self._metrics.observe(record)
        if self._spans is not None:
            self._spans.note(record)
        if report.dropped:
            self._untold.inc(report.dropped)
        try:
            self._lines.send_nowait(record)
        except trio.WouldBlock:
            self._unlogged.inc()

    async def log(self) -> None:
        """Write the access log until cancelled; the writing is done in a thread."""
        async for record in self._waiting:
            records = [record]
            while len(records) < _LINES:
                try:
                    records.append(self._waiting.receive_nowait())
                except trio.WouldBlock:
                    break
            await trio.to_thread.run_sync(self._write, records, abandon_on_cancel=True)
