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

    __slots__ = (
        "_keep",
        "_kept",
        "_kept_bytes",
        "_sink",
        "_source",
        "_source_stream",
        "_stream",
        "_waiting",
        "carried",
        "ended",
        "repeatable",
    )

    def __init__(self) -> None:
        self._source: Side | None = None
        self._source_stream = 0
        self._sink: Side | None = None
        self._stream = 0
        self._waiting: deque[Event] = deque()
        self._kept: list[Event] = []
        self._kept_bytes = 0
        self._keep = 0
        self.carried = 0
        """Body bytes that have come in."""
        self.repeatable = True
        """Whether all that has gone out is at hand, to be sent a second time."""
        self.ended = False
        """Whether the end has gone out."""

    def keep(self, most: int) -> None:
        """Keep what goes out, up to so many bytes, to be able to send it once more."""
        self._keep = most

    def begin(self, source: Side, stream: int) -> None:
        """Whom to credit."""
        self._source, self._source_stream = source, stream

    def reach(self, sink: Side, stream: int) -> None:
        """Where to go; what waits goes there now, as far as there is room."""
        self._sink, self._stream = sink, stream
        self.pump()

    def leave(self) -> None:
        """There is no sink any more. What went out is to go to the next one, if it was kept."""
        self._sink = None
        self._waiting.extendleft(reversed(self._kept))
        self._forget()
        self.ended = False

    def settle(self) -> None:
        """The sink is the last one: keep nothing."""
        self._keep = 0
        self.repeatable = self.repeatable and not self._kept
        self._forget()

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

    @property
    def held(self) -> int:
        """Body bytes that wait."""
        return sum(len(event.data) for event in self._waiting if isinstance(event, Body))

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

    def _forget(self) -> None:
        self._kept = []
        self._kept_bytes = 0

    def _remember(self, event: Event) -> None:
        """Keep it: its cost was paid already."""
        if type(event) is Body:
            self._kept_bytes += len(event.data)
            event = Body(event.data)
        if self._kept_bytes > self._keep or not self._keep:
            self.repeatable = False
            self._forget()
        else:
            self._kept.append(event)

    def _say(self, event: Event) -> None:
        if self.repeatable:
            self._remember(event)
        if self._sink is not None:
            self._sink.say(self._stream, event)
