"""What a codec can do. Both versions do it; a faster one takes the place of either when it does the same."""

from __future__ import annotations

from typing import Protocol

from waypoint.http.events import Event, RequestHead


class Codec(Protocol):
    """One end of an HTTP connection as a state machine. Streams are numbered; HTTP/1.1 has one at a time."""

    def receive(self, data: bytes) -> list[tuple[int, Event]]:
        """Take what the peer sent, empty when it sends no more; give what it means. Never raises."""

    def send(self, stream: int, event: Event) -> None:
        """Say something on a stream; the bytes are in `take`. On a stream that is no more this does nothing.

        What cannot be said truthfully (an end before the announced length) aborts the message instead.
        """

    def resume(self) -> list[tuple[int, Event]]:
        """What was received already and waited for something that `send` has done since."""

    def take(self) -> bytes:
        """The bytes to be sent now."""

    @property
    def due(self) -> bool:
        """Whether there are bytes to be sent, or the sending is over: else `take` can wait."""

    def room(self, stream: int) -> int:
        """How many body bytes may be sent on the stream now; 0 when the peer has to take some first."""

    def credit(self, stream: int, cost: int) -> None:
        """The reader has taken body bytes of this cost: let the peer send as many again."""

    def begin(self, request: RequestHead) -> int | None:
        """Ask on a new stream and give its number, or None when the connection can take none now (client side)."""

    def drain(self) -> None:
        """Take no request after those in progress, and tell the peer so."""

    @property
    def hungry(self) -> bool:
        """Whether bytes from the peer are of use now; the memory that is not acknowledged bounds it."""

    @property
    def usable(self) -> bool:
        """Whether another request may ever begin on this connection."""

    @property
    def over(self) -> bool:
        """Whether nothing more will be sent once `take` is empty: the transport's sending side can be closed."""

    @property
    def aborted(self) -> bool:
        """Whether the transport has to be cut, because a clean end would pass a torn message off as whole."""

    @property
    def fault(self) -> str:
        """What the peer did against the protocol, for which the whole connection ended; else empty."""
