"""Spans on their way to the exporter's process: as many as its socket holds wait; more are dropped and counted."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import trio

from mesh.net.metrics import Metrics
from mesh.record import Record
from mesh.sampling import kept
from mesh.spanline import SpanLines
from mesh.trace import Step
from mesh.tracing import Tracing

_MESSAGE: Final = 64 * 1024
"""Bytes of one message; a span is shorter, as its texts are bounded."""
_TOGETHER: Final = 128
_SECONDS: Final = 0.05
"""How long a record waits for others at most."""
_BUFFER: Final = 4 * 1024 * 1024
"""What is asked for; the kernel's net.core.wmem_max bounds it."""
_REPORT: Final = 4096
_AGAIN_SECONDS: Final = 5.0
"""How long a new exporter waits after one that ended."""
_FAREWELL_SECONDS: Final = 4.0

_log = logging.getLogger("spans")


class Spans:
    """The spans of one proxy. Made of records, and only of those that are kept (mesh.sampling)."""

    def __init__(self, tracing: Tracing, resource: Mapping[str, str], metrics: Metrics) -> None:
        """`resource` says who makes them, by the names of OpenTelemetry's conventions."""
        self._tracing = tracing
        self._resource = dict(resource)
        self._exported = metrics.counter("ambit_spans_exported", "Spans that the OTLP receiver took")
        self._dropped = metrics.counter("ambit_spans_dropped", "Spans that nobody got: where they were lost", "at")
        self._lines = SpanLines()
        self._waiting: list[tuple[Record, Step, int]] = []
        self._noted = trio.Event()
        self._socket: socket.socket | None = None
        self.exporter: int | None = None
        """Its process id, while there is one."""

    def note(self, record: Record) -> None:
        """Take one record in that has just come to its end."""
        if record.step is not None and kept(record):
            self._waiting.append((record, record.step, record.ended or time.time_ns()))
            if len(self._waiting) == 1:
                self._noted.set()
            elif len(self._waiting) >= _TOGETHER:
                self.flush()

    def flush(self) -> None:
        """Hand over what waits. Never waits itself."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        message = bytearray()
        count = 0
        for record, step, ended in waiting:
            line = self._lines.line(record, step, ended).encode("ascii")
            if message and len(message) + len(line) >= _MESSAGE:
                self._send(message, count)
                message, count = bytearray(), 0
            message += line + b"\n"
            count += 1
        self._send(message, count)

    async def run(self) -> None:
        """Keep an exporter running until cancelled; then let it send what it has."""
        while True:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours:
                ours.setblocking(False)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                with theirs:
                    process = await trio.lowlevel.open_process(
                        self._command(theirs.fileno()),
                        pass_fds=(theirs.fileno(),),
                        env={"PATH": "/usr/bin:/bin", **self._tracing.exporter},
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                self._socket, self.exporter = ours, process.pid
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._flush)
                        await self._hear(ours)
                        nursery.cancel_scope.cancel()
                finally:
                    with trio.CancelScope(shield=True):
                        self.flush()
                        self._socket = self.exporter = None
                        with suppress(OSError):  # it may have ended by itself
                            ours.shutdown(socket.SHUT_WR)
                        await _end(process)
            _log.warning("the exporter of spans ended with status %s; starting another", process.returncode)
            await trio.sleep(_AGAIN_SECONDS)

    def _command(self, number: int) -> tuple[str, ...]:
        protocol, resource = self._tracing.protocol.value, json.dumps(self._resource)
        return (sys.executable, "-P", "-m", "mesh.net.otlp", str(number), protocol, resource)

    async def _flush(self) -> None:
        while True:
            self._noted = trio.Event()
            if not self._waiting:
                await self._noted.wait()
            await trio.sleep(_SECONDS)
            self.flush()

    async def _hear(self, ours: socket.socket) -> None:
        """Count what the exporter says has become of spans so far, until it ends."""
        before = {"exported": 0, "dropped": 0, "failed": 0}
        while True:
            await trio.lowlevel.wait_readable(ours)
            try:
                report = ours.recv(_REPORT)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not report:
                return
            sent: dict[str, int] = json.loads(report)
            self._exported.inc(sent["exported"] - before["exported"])
            self._lost("exporter", sent["dropped"] - before["dropped"])
            self._lost("receiver", sent["failed"] - before["failed"])
            before = sent

    def _lost(self, at: str, count: int) -> None:
        if count:
            self._dropped.labels(at=at).inc(count)

    def _send(self, message: bytearray, count: int) -> None:
        if self._socket is not None:
            with suppress(OSError):  # there is no room, or the exporter has ended
                self._socket.send(message)
                return
        self._lost("proxy", count)


async def _end(process: trio.Process) -> None:
    with trio.move_on_after(_FAREWELL_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
