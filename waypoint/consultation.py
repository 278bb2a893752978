"""One question to an external authorizer: a gRPC call of envoy.service.auth.v3, answered once and in time.

The request that it is about waits meanwhile; whatever goes wrong here is an answer too (waypoint.advice.failed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh.refusal import Refusal
from waypoint.advice import Advice, failed, read_advice
from waypoint.check import Check
from waypoint.http.events import CANCEL, Body, End, Event, RequestHead, Reset, ResponseHead, Trailers, value
from waypoint.stretch import Stretch

if TYPE_CHECKING:
    from collections.abc import Callable

    from waypoint.endpoint import Endpoint
    from waypoint.http.events import Headers
    from waypoint.http.link import Link
    from waypoint.scene import Scene

_PATH: Final = b"/envoy.service.auth.v3.Authorization/Check"
_LONGEST: Final = 256 * 1024
"""Bytes of an answer."""
_PREFIX: Final = 5
"""A flag and the length (gRPC over HTTP/2, Length-Prefixed-Message)."""


class Consultation:
    """The authorizer's side (waypoint.http.link.Party); first it waits for a link (waypoint.row.Seeker)."""

    def __init__(self, scene: Scene, check: Check, about: RequestHead, advised: Callable[[Advice], None]) -> None:
        """`advised` is called once, and not at all after `close`."""
        self._scene = scene
        self._check = check
        self._about = about
        self._advised = advised
        self._link: Link | None = None
        self._stream = 0
        self._stretch = Stretch()
        self._body = bytearray()
        self._status: bytes | None = None
        self._heard_all = False
        self._wait = scene.deadlines.after(check.authorizer.timeout, self._late)
        self.done = False
        self.reused = False

    def start(self) -> None:
        """Ask."""
        endpoint = self._check.endpoint
        if isinstance(endpoint, Refusal):
            self._fail(endpoint.detail)
        else:
            self._scene.upstream.ask(endpoint, self, http2=True)

    def close(self) -> None:
        """Nobody wants to know any more."""
        if not self.done:
            self.done = True
            self._wait.cancel()
            self._leave()

    # ---- waypoint.row.Seeker

    @property
    def told(self) -> Headers:
        """It is no step of the request's trace."""
        return ()

    def ask(self, link: Link) -> bool:
        """Ask on this link; False when it takes none, or nobody wants to know any more."""
        stream = None if self.done else link.begin(self._head(), self)
        if stream is None:
            return False
        message = self._check.message
        self._link, self._stream, self._stretch = link, stream, Stretch()
        self._stretch.push(Body(b"\0" + len(message).to_bytes(4, "big") + message))
        self._stretch.push(End())
        self._stretch.reach(link, stream)
        return True

    def fail(self, refusal: Refusal) -> None:
        """There is no link."""
        self._fail(refusal.detail)

    # ---- waypoint.http.link.Party

    def heard(self, event: Event) -> None:
        """The authorizer says this."""
        if self.done or self._link is None:
            return
        if isinstance(event, ResponseHead | Trailers):
            self._status = value(event.headers, b"grpc-status") or self._status
            if isinstance(event, ResponseHead) and event.status != 200:
                self._fail(f"its answer is status {event.status}")
        elif isinstance(event, Body):
            self._link.credit(self._stream, event.cost)
            self._body += event.data
            if len(self._body) > _LONGEST:
                self._fail("its answer is too long")
        elif isinstance(event, End):
            self._heard_all = True
            self._answered()
        elif isinstance(event, Reset):
            self._broken(event)

    def may_speak(self) -> None:
        """Send more of the question."""
        self._stretch.pump()

    # ----

    def _head(self) -> RequestHead:
        endpoint = self._check.endpoint
        service = None if isinstance(endpoint, Refusal) else endpoint.service
        authority = service.hostname.encode() if service is not None else b"authorizer"
        milliseconds = b"%dm" % int(self._check.authorizer.timeout * 1000)
        headers = ((b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", milliseconds))
        return RequestHead(b"POST", authority, _PATH, headers)

    def _answered(self) -> None:
        body = bytes(self._body)
        if self._status != b"0":
            code = (self._status or b"none").decode("latin-1")
            self._fail(f"its answer has gRPC status {code}")
        elif len(body) < _PREFIX or body[0] != 0 or int.from_bytes(body[1:_PREFIX], "big") != len(body) - _PREFIX:
            self._fail("its answer is not one message")
        else:
            self._tell(read_advice(self._check, body[_PREFIX:], self._about))

    def _broken(self, reset: Reset) -> None:
        """Asking twice does no harm, and a connection that had been idle may have been closed just now."""
        endpoint = self._check.endpoint
        if not self.reused or self._body or isinstance(endpoint, Refusal):
            self._fail(reset.detail)
            return
        self._leave()
        self._ask_anew(endpoint)

    def _ask_anew(self, endpoint: Endpoint) -> None:
        self.reused = False
        self._scene.upstream.ask(endpoint, self, http2=True, fresh=True)

    def _late(self) -> None:
        self._fail(f"there was no answer within {self._check.authorizer.timeout:g} s")

    def _fail(self, why: str) -> None:
        if not self.done:
            self._tell(failed(self._check, why))

    def _tell(self, advice: Advice) -> None:
        self.close()
        self._advised(advice)

    def _leave(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._stretch.unpaid()
            if not self._heard_all:
                link.say(self._stream, Reset(CANCEL, "nobody waits for the answer"))
            link.leave(self._stream, 0)
