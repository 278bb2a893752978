"""What an HBONE connection tells whoever runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mesh.hbone.fields import Answer, Connect
    from mesh.hbone.stream import StreamState
    from mesh.hbone.violation import Violation


class Owner(Protocol):
    """Who runs a connection."""

    def output_pending(self) -> None:
        """There is output again."""

    def settled(self) -> None:
        """The peer's first SETTINGS came: it speaks HTTP/2 and has let us in."""

    def requested(self, stream: StreamState, connect: Connect) -> None:
        """Server: a CONNECT came; answer it or reset it, now or later."""

    def turned_away(self, detail: str) -> None:
        """Server: a request was refused that is no well-formed CONNECT."""

    def answered(self, stream: StreamState, answer: Answer) -> None:
        """Client: the final response head came. Unless it is 2xx the stream has been given up already."""

    def going_away(self) -> None:
        """The peer sent GOAWAY: no new stream can be opened."""

    def emptied(self) -> None:
        """The last stream has ended."""

    def failed(self, violation: Violation) -> None:
        """The connection is over; what is in the output (perhaps a GOAWAY) is the last."""
