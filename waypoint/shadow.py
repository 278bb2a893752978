"""A copy of a request for a mirror: sent beside the real one, its answer thrown away.

A mirror must not hold back the request it is a copy of. So it gets its own copy of the content, may be behind by so
much and no more, and is given up when it falls behind further, when the caller breaks off, or after its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from waypoint.http.events import CANCEL, Body, End, Event, RequestHead, Reset
from waypoint.stretch import Stretch

if TYPE_CHECKING:
    from mesh.net.deadlines import Deadlines
    from mesh.refusal import Refusal
    from waypoint.http.link import Link

_BEHIND: Final = 256 * 1024
"""Bytes of content that wait for a mirror at most."""
_SECONDS: Final = 30.0


class Shadow:
    """The mirror's side (waypoint.http.link.Party); first it waits for a link (waypoint.upstream.Seeker)."""

    __slots__ = ("_asked_all", "_heard_all", "_link", "_request", "_stream", "_stretch", "_wait", "done", "reused")

    def __init__(self, request: RequestHead, deadlines: Deadlines) -> None:
        self._request = request
        self._link: Link | None = None
        self._stream = 0
        self._stretch = Stretch()
        self._asked_all = request.ends
        self._heard_all = False
        self._wait = deadlines.after(_SECONDS, self.close)
        self.done = False
        self.reused = False

    def copy(self, event: Event) -> None:
        """The caller says this."""
        if self.done:
            return
        if isinstance(event, Body):
            self._stretch.push(Body(event.data))
            if self._stretch.held > _BEHIND:
                self.close()
        elif isinstance(event, Reset):
            self.close()
        else:
            self._asked_all = self._asked_all or isinstance(event, End)
            self._stretch.push(event)

    def close(self) -> None:
        """Give it up, or be done with it."""
        if self.done:
            return
        self.done = True
        self._wait.cancel()
        self._stretch.unpaid()
        if self._link is not None:
            if not (self._heard_all and self._asked_all):
                self._link.say(self._stream, Reset(CANCEL, "a mirror is given up"))
            self._link.leave(self._stream, 0)

    # ---- waypoint.upstream.Seeker

    @property
    def told(self) -> tuple[tuple[bytes, bytes], ...]:
        """A copy is no step of its own."""
        return ()

    def ask(self, link: Link) -> bool:
        """Send the request's head on this link; False when it takes none, or nobody wants it any more."""
        stream = None if self.done else link.begin(self._request, self)
        if stream is None:
            return False
        self._link, self._stream = link, stream
        if self._request.ends:
            link.say(stream, End())
        self._stretch.reach(link, stream)
        return True

    def fail(self, refusal: Refusal) -> None:  # noqa: ARG002  a mirror that is not there is nobody's failure
        """There is no link."""
        self.close()

    # ---- waypoint.http.link.Party

    def heard(self, event: Event) -> None:
        """Throw away what the mirror says."""
        if self.done or self._link is None:
            return
        if isinstance(event, Body):
            self._link.credit(self._stream, event.cost)
        elif isinstance(event, End):
            self._heard_all = True
            self.close()
        elif isinstance(event, Reset):
            self._heard_all = self._asked_all = True
            self.close()

    def may_speak(self) -> None:
        """Send more of the content."""
        self._stretch.pump()
