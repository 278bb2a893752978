"""A codec on a connection in the relay: what the peer says goes to the parties of the exchanges, in plain calls.

Whoever wants to say something hands it to the codec and goes on; all that was said in a turn of the loop leaves in one
piece at its end. A body is said only as far as there is `room`; who finds none is told when there is some again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from waypoint.http.codec import Codec
from waypoint.http.events import CANCEL, INTERNAL_ERROR, Body, Event, Malformed, RequestHead, Reset

if TYPE_CHECKING:
    from mesh.net.carrier import Carrier
    from mesh.net.deadlines import Deadlines
    from mesh.net.relay import Relay

_BACKLOG: Final = 256 * 1024
"""Bytes that may wait to be written before bodies have to wait."""
_CONTROL_BACKLOG: Final = 1024 * 1024
"""The same before reading stops: a peer that provokes answers and does not read them gets no more of them."""
_LINGER_SECONDS: Final = 2.0
"""How long a peer may take to notice that the conversation is over, so that it reads our last words (RFC 9112, 9.6)."""

_log = logging.getLogger("waypoint")


class Party(Protocol):
    """Who takes part in an exchange at this end."""

    def heard(self, event: Event) -> None:
        """The peer says this. The cost of a body is to be credited once it has moved on."""

    def may_speak(self) -> None:
        """There was no room for a body; asking again is worth it now."""


class Owner(Protocol):
    """Whose link it is."""

    def begun(self, link: Link, stream: int) -> Party | None:
        """Server: the peer begins an exchange, whose head the party hears at once. None: nobody takes part."""

    def freed(self, link: Link) -> None:
        """An exchange is over."""

    def over(self, link: Link) -> None:
        """The connection has ended, well or badly."""


class Link:
    """One HTTP connection, either end (mesh.net.carrier.Terminal)."""

    __slots__ = (
        "_carrier",
        "_codec",
        "_deadlines",
        "_dirty",
        "_ended",
        "_gone",
        "_lingering",
        "_owner",
        "_parted",
        "_parties",
        "_relay",
        "_resumes",
        "_said",
        "_thirsty",
        "_untaken",
        "idle_since",
    )

    def __init__(self, relay: Relay, deadlines: Deadlines, carrier: Carrier, codec: Codec, owner: Owner) -> None:
        self._relay = relay
        self._deadlines = deadlines
        self._carrier = carrier
        self._codec = codec
        self._owner = owner
        self._parties: dict[int, Party] = {}
        self._thirsty: dict[int, None] = {}
        """Streams that found no room."""
        self._said = 0
        """Body bytes handed to the codec since the last flush."""
        self._resumes = False
        """Something was said on which what was received already may have waited."""
        self._untaken = 0
        """Bytes from the peer for which it gets no credit yet."""
        self._dirty = False
        self._ended = self._parted = self._lingering = self._gone = False
        self.idle_since = 0.0
        """When its owner saw it idle first (the owner's own note)."""

    def start(self) -> None:
        """Begin, with what the codec says first."""
        self._carrier.start(self)
        self._touch()

    @property
    def usable(self) -> bool:
        """Whether a request can ever begin here again."""
        return not self._gone and self._codec.usable

    @property
    def busy(self) -> int:
        """How many exchanges are in progress."""
        return len(self._parties)

    @property
    def fault(self) -> str:
        """What the peer did against the protocol, for which the connection ended; else empty."""
        return self._codec.fault

    def begin(self, request: RequestHead, party: Party) -> int | None:
        """Client: ask, and give the stream's number; None when this connection can take no request now."""
        stream = self._codec.begin(request) if self.usable else None
        if stream is not None:
            self._parties[stream] = party
            self._touch()
        return stream

    def say(self, stream: int, event: Event) -> None:
        """Pass an event to the codec."""
        self._codec.send(stream, event)
        if type(event) is Body:
            self._said += len(event.data)
        else:
            self._resumes = True
        if not self._dirty:
            self._touch()

    def room(self, stream: int) -> int:
        """How much of a body may be said now; after 0 the party is told when there is more."""
        waiting = self._carrier.backlog + self._said
        room = 0 if waiting >= _BACKLOG or self._gone else self._codec.room(stream)
        if room <= 0:
            self._thirsty[stream] = None
            return 0
        return room

    def credit(self, stream: int, cost: int) -> None:
        """A body has moved on: the peer may send as much again."""
        self._codec.credit(stream, cost)
        if self._untaken or self._codec.due:
            self._touch()

    def leave(self, stream: int, unpaid: int = 0) -> None:
        """A party's work is done; `unpaid` is the cost of bodies that it heard and never credited."""
        if self._parties.pop(stream, None) is not None:
            self._thirsty.pop(stream, None)
            if unpaid:
                self._codec.credit(stream, unpaid)
            if self._untaken or self._codec.due:
                self._touch()
            self._owner.freed(self)

    def drain(self) -> None:
        """Take no new exchange; end when those in progress have ended."""
        self._codec.drain()
        self._touch()

    def abort(self) -> None:
        """End it now."""
        self._lose("the connection was closed")

    # ---- mesh.net.carrier.Terminal

    def data(self, view: memoryview) -> None:
        """Read what came."""
        codec = self._codec
        self._untaken += len(view)
        try:
            self._hear(codec.receive(bytes(view)))
        except Exception:  # noqa: BLE001  a fault of ours on one connection is that connection's; the others go on
            self._failed()
            return
        if self._dirty or self._gone:
            return
        if codec.hungry and not codec.due and self._carrier.backlog < _CONTROL_BACKLOG:
            self._take()
            if not self._thirsty:
                return
        self._touch()

    def ended(self) -> None:
        """Nothing more comes."""
        self._ended = True
        try:
            self._hear(self._codec.receive(b""))
        except Exception:  # noqa: BLE001  as above
            self._failed()
        self._touch()

    def lost(self, detail: str) -> None:
        """The connection broke."""
        self._end(f"the connection broke: {detail}")

    def drained(self) -> None:
        """There is room again."""
        self._touch()

    # ---- mesh.net.relay.Flushable

    def flush(self) -> None:
        """The turn ends: send what was said, and see how things stand."""
        self._dirty = False
        try:
            self._settle()
        except Exception:  # noqa: BLE001  as above
            self._failed()

    # ----

    def _touch(self) -> None:
        if not (self._dirty or self._gone):
            self._dirty = True
            self._relay.touch(self)

    def _settle(self) -> None:
        if self._gone:
            return
        codec, carrier = self._codec, self._carrier
        if self._resumes:
            self._resumes = False
            self._hear(codec.resume())
        out = codec.take()
        self._said = 0
        if out:
            carrier.write(out)
        if codec.aborted:
            carrier.cut()
            self._end("the connection was cut")
        elif codec.over:
            self._part()
        else:
            if self._untaken and codec.hungry and carrier.backlog < _CONTROL_BACKLOG:
                self._take()
            if self._thirsty and carrier.backlog < _BACKLOG:
                self._offer()

    def _part(self) -> None:
        """Nothing more is said. Once nobody listens either, the peer gets a while to hear our last words."""
        if not self._parted:
            self._parted = True
            self._carrier.end()
        if self._untaken and (self._codec.hungry or not self._parties):
            self._take()
        if self._parties:
            return
        if self._ended:
            self._close()
        elif not self._lingering:
            self._lingering = True
            self._deadlines.after(_LINGER_SECONDS, self._close)

    def _take(self) -> None:
        untaken, self._untaken = self._untaken, 0
        self._carrier.took(untaken)

    def _close(self) -> None:
        if not self._gone:
            self._carrier.close()
            self._end("the connection is closed")

    def _offer(self) -> None:
        thirsty, self._thirsty = self._thirsty, {}
        for stream in thirsty:
            party = self._parties.get(stream)
            if party is not None:
                party.may_speak()

    def _hear(self, events: list[tuple[int, Event]]) -> None:
        parties = self._parties
        for stream, event in events:
            party = parties.get(stream)
            if party is None:
                party = self._unknown(stream, event)
                if party is None:
                    continue
            try:
                party.heard(event)
            except Exception:  # noqa: BLE001  a fault of ours in one exchange is that exchange's; the others go on
                _log.exception("an exchange failed")
                self.say(stream, Reset(INTERNAL_ERROR))
                self.leave(stream)

    def _unknown(self, stream: int, event: Event) -> Party | None:
        if isinstance(event, RequestHead | Malformed):
            party = self._owner.begun(self, stream)
            if party is not None:
                self._parties[stream] = party
            return party
        if isinstance(event, Body):
            self._codec.credit(stream, event.cost)
        return None

    def _failed(self) -> None:
        _log.exception("a connection failed")
        self._lose("a fault of the waypoint's own")

    def _lose(self, detail: str) -> None:
        if not self._gone:
            self._carrier.cut()
            self._end(detail)

    def _end(self, detail: str) -> None:
        """The connection is gone: whoever waits for something from it hears that nothing will come."""
        if self._gone:
            return
        self._gone = True
        for party in list(self._parties.values()):
            party.heard(Reset(CANCEL, detail))
        self._parties.clear()
        self._owner.over(self)
