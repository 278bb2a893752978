"""One direction of an exchange: what one link hears is said on the other, as far as that one has room. Pure.

What has to wait, waits here, and its sender gets no credit for it: flow control reaches from end to end.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from waypoint.http.events import Body, End, Event


class Side(Protocol):
    """What a stretch needs of a link."""

    def say(self, stream: int, event: Event) -> None:
        """Pass an event to the peer."""

    def room(self, stream: int) -> int:
        """How much of a body may be said now."""

    def credit(self, stream: int, cost: int) -> None:
        """A body has moved on."""


class Stretch:
    """From `source`, which may be None for what comes from nowhere, to a sink that may become known later."""

    __slots__ = ("_sink", "_source", "_source_stream", "_stream", "_waiting", "carried", "ended", "moved")

    def __init__(self) -> None:
        self._source: Side | None = None
        self._source_stream = 0
        self._sink: Side | None = None
        self._stream = 0
        self._waiting: deque[Event] = deque()
        self.carried = 0
        """Body bytes that have come in."""
        self.moved = False
        """Whether anything has gone out: it cannot be sent a second time."""
        self.ended = False
        """Whether the end has gone out."""

    def begin(self, source: Side, stream: int) -> None:
        """Whom to credit."""
        self._source, self._source_stream = source, stream

    def reach(self, sink: Side, stream: int) -> None:
        """Where to go; what waits goes there now, as far as there is room."""
        self._sink, self._stream = sink, stream
        self.pump()

    def leave(self) -> None:
        """There is no sink any more."""
        self._sink = None

    def push(self, event: Event) -> None:
        """The next event."""
        if type(event) is Body:
            self.carried += len(event.data)
        if self._waiting or not self._passed(event):
            self._waiting.append(event)
            if len(self._waiting) == 1:
                self.pump()

    def pump(self) -> None:
        """Say what waits, as far as there is room."""
        waiting = self._waiting
        while waiting:
            event = waiting[0]
            if self._passed(event):
                waiting.popleft()
                continue
            room = self._sink.room(self._stream) if self._sink is not None else 0
            if not room or not isinstance(event, Body):
                return
            self._say(Body(event.data[:room]))
            waiting[0] = Body(event.data[room:], event.cost)

    def unpaid(self) -> int:
        """Forget what waits; the cost of its bodies."""
        cost = sum(event.cost for event in self._waiting if isinstance(event, Body))
        self._waiting.clear()
        return cost

    def _passed(self, event: Event) -> bool:
        """Say the event, unless it is a body for which there is not room enough."""
        sink = self._sink
        if sink is None:
            return False
        if type(event) is not Body:
            self.ended = self.ended or isinstance(event, End)
            self._say(event)
            return True
        if sink.room(self._stream) < len(event.data):
            return False
        self._say(event)
        if event.cost and self._source is not None:
            self._source.credit(self._source_stream, event.cost)
        return True

    def _say(self, event: Event) -> None:
        self.moved = True
        if self._sink is not None:
            self._sink.say(self._stream, event)
