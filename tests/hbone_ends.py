"""HBONE connections without sockets: an owner and sinks that keep what they are told, and how to join two ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.hbone import frames
from mesh.hbone.connection import Connection
from mesh.hbone.fields import Answer, Connect
from mesh.hbone.limits import Limits
from mesh.hbone.stream import StreamState
from mesh.hbone.violation import Violation

Cut = Callable[[bytes], list[bytes]]


class Keeper:
    """A sink that keeps everything; `passes_on` says whether what it keeps counts as taken."""

    def __init__(self, stream: StreamState, *, passes_on: bool = True) -> None:
        self.stream = stream
        self.passes_on = passes_on
        self.kept = bytearray()
        self.log: list[str] = []
        self.outgoing = bytearray()
        self.ends = False
        stream.attach(self)

    def data(self, view: memoryview) -> None:
        self.kept += view
        if self.passes_on:
            self.stream.took(len(view))

    def ended(self) -> None:
        self.log.append("ended")

    def was_reset(self, code: int) -> None:
        self.log.append(f"reset: {frames.code_name(code)}")

    def may_send(self) -> None:
        self.push()

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Send as much as there is credit for; the rest follows by itself."""
        self.outgoing += data
        self.ends |= end
        self.push()

    def push(self) -> None:
        connection = self.stream.connection
        assert isinstance(connection, Connection)
        while self.outgoing:
            hole = connection.hole(self.stream, len(self.outgoing))
            if hole is None:
                return
            hole[:] = self.outgoing[: len(hole)]
            connection.fill(self.stream, len(hole))
            del self.outgoing[: len(hole)]
        if self.ends:
            self.stream.end()


class End:
    """One end: its connection, what that told, and the streams that came up on it."""

    def __init__(self, *, client: bool, limits: Limits | None = None, accepts: bool = True, **keeper: Any) -> None:
        self.log: list[str] = []
        self.requests: list[tuple[StreamState, Connect]] = []
        self.answers: list[Answer] = []
        self.sinks: dict[int, Keeper] = {}
        self.violation: Violation | None = None
        self._accepts = accepts
        self._keeper = keeper
        self._tail = b""
        self.connection = Connection(self, client=client, limits=limits)

    # mesh.hbone.owner.Owner

    def output_pending(self) -> None:
        return

    def settled(self) -> None:
        self.log.append("settled")

    def requested(self, stream: StreamState, connect: Connect) -> None:
        self.requests.append((stream, connect))
        if self._accepts:
            self.accept(stream)

    def turned_away(self, detail: str) -> None:
        self.log.append(f"turned away: {detail}")

    def answered(self, stream: StreamState, answer: Answer) -> None:
        self.answers.append(answer)

    def going_away(self) -> None:
        self.log.append("going away")

    def emptied(self) -> None:
        self.log.append("emptied")

    def failed(self, violation: Violation) -> None:
        assert self.violation is None
        self.violation = violation

    # what a test does

    def accept(self, stream: StreamState) -> Keeper:
        stream.answer(200, [])
        self.sinks[stream.id] = Keeper(stream, **self._keeper)
        return self.sinks[stream.id]

    def open(self, authority: str = "10.0.0.1:80") -> Keeper:
        stream = self.connection.open(authority, [])
        self.sinks[stream.id] = Keeper(stream, **self._keeper)
        return self.sinks[stream.id]

    def receive(self, data: bytes) -> None:
        """As a driver does: bytes that were not consumed come again."""
        whole = self._tail + data
        self._tail = whole[self.connection.receive(memoryview(whole)) :]

    def output(self) -> bytes:
        data = bytes(self.connection.output())
        self.connection.feed()
        return data

    @property
    def last_goaway(self) -> int | None:
        """The error code of the GOAWAY that waits in the output."""
        output, at, code = self.output().removeprefix(frames.PREFACE), 0, None
        while at < len(output):
            word, _, _ = frames.HEAD.unpack_from(output, at)
            payload = memoryview(output)[at + frames.HEAD_SIZE : at + frames.HEAD_SIZE + (word >> 8)]
            at += frames.HEAD_SIZE + len(payload)
            if word & 0xFF == frames.GOAWAY:
                code = frames.read_goaway(payload)[1]
        return code


def pump(one: End, other: End, cut: Cut = lambda data: [data]) -> None:
    """Carry bytes until both are quiet, in pieces as `cut` says."""
    while one.connection.pending or other.connection.pending:
        for source, target in ((one, other), (other, one)):
            if source.connection.pending:
                for piece in cut(source.output()):
                    target.receive(piece)


def pair(**options: Any) -> tuple[End, End]:
    """A client and a server that have settled."""
    client, server = End(client=True, **options), End(client=False, **options)
    pump(client, server)
    return client, server
