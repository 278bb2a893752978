"""The backend's side of a request: one attempt to have it answered by an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.refusal import Refusal
from mesh.sampling import connection
from waypoint.http.events import CANCEL, End, Event, RequestHead, Reset, ResponseHead

if TYPE_CHECKING:
    from waypoint.endpoint import Endpoint
    from waypoint.http.link import Link
    from waypoint.passage import Passage


class Attempt:
    """The backend's side of a passage (waypoint.http.link.Party): first it waits for a link, then it is a party."""

    __slots__ = ("_done", "_heard_all", "_link", "_passage", "_request", "_stream", "endpoint", "number", "reused")

    def __init__(self, passage: Passage, endpoint: Endpoint, request: RequestHead, number: int) -> None:
        self._passage = passage
        self._request = request
        self._link: Link | None = None
        self._stream = 0
        self._heard_all = False
        self._done = False
        self.endpoint = endpoint
        self.number = number
        self.reused = False

    @property
    def done(self) -> bool:
        """Whether nobody wants an answer any more."""
        return self._done

    @property
    def told(self) -> tuple[tuple[bytes, bytes], ...]:
        """Our span, of which the endpoint's proxy is told."""
        return connection(self._passage.outcome.step)

    def ask(self, link: Link) -> bool:
        """Send the request's head on this link; False when it takes none, or nobody wants an answer any more."""
        if self._done:
            return False
        stream = link.begin(self._request, self)
        if stream is None:
            return False
        self._link, self._stream = link, stream
        self._passage.reached(link, stream)
        return True

    def fail(self, refusal: Refusal) -> None:
        """There is no link."""
        if not self._done:
            self._passage.unreachable(self, refusal)

    def close(self) -> None:
        """Give it up, or be done with it."""
        if self._done:
            return
        self._done = True
        if self._link is not None:
            if not (self._heard_all and self._passage.asked_all):
                self._link.say(self._stream, Reset(CANCEL, "given up here"))
            self._link.leave(self._stream, self._passage.unpaid())

    # ---- waypoint.http.link.Party

    def heard(self, event: Event) -> None:
        """Pass on what the backend says."""
        if self._done:
            return
        if isinstance(event, Reset):
            if not self._heard_all or self._passage.upgraded:
                self._passage.broken(self, event)
            return
        if isinstance(event, End):
            self._heard_all = True
        elif isinstance(event, ResponseHead) and event.status == 101:
            self._passage.asked_all = False
        self._passage.answered(self, event)

    def may_speak(self) -> None:
        """Send more of the request."""
        self._passage.send_on()
