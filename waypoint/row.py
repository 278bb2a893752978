"""The HTTP connections to one endpoint, and who waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from waypoint.circuit import Circuit
    from waypoint.endpoint import Endpoint
    from waypoint.http.link import Link


class Seeker(Protocol):
    """Who wants a link to an endpoint."""

    reused: bool
    """Whether the link that is offered has served others before."""

    @property
    def told(self) -> Sequence[tuple[bytes, bytes]]:
        """What the other end hears of it if a tunnel's stream is opened for it."""

    @property
    def done(self) -> bool:
        """Whether it is wanted no more."""

    def ask(self, link: Link) -> bool:
        """Use this link; False when it cannot be used, or is wanted no more."""

    def fail(self, refusal: Refusal) -> None:
        """There is none."""


class Row:
    """The links to one endpoint in one version of HTTP (waypoint.http.link.Owner)."""

    def __init__(
        self, endpoint: Endpoint, *, http2: bool, circuit: Circuit | None, room: Callable[[Circuit], None]
    ) -> None:
        """`room` is told when one of a circuit's connections has ended."""
        self.endpoint = endpoint
        self.http2 = http2
        self.circuit = circuit
        """What bounds their number, if anything does."""
        self._room = room
        self.links: dict[Link, None] = {}
        self.free: dict[Link, None] = {}
        """Those that may take a request; the one used last is asked first, so that what is not needed falls idle."""
        self.dialling = 0
        self.waiting: list[Seeker] = []

    @property
    def waits(self) -> int:
        """How many wait for a link (waypoint.circuit.Line)."""
        self.waiting = [seeker for seeker in self.waiting if not seeker.done]
        return len(self.waiting)

    @property
    def wanting(self) -> bool:
        """Whether one more link would be of use, and may be made."""
        waits = self.waits
        if not waits or (self.dialling if self.http2 else self.dialling >= waits):
            return False
        return self.circuit is None or not self.circuit.full or not (self.links or self.dialling)

    @property
    def spare(self) -> Link | None:
        """A link that nobody uses, if there is one beside the only one."""
        if len(self.links) < 2:
            return None
        return next((link for link in self.free if not link.busy), None)

    def ask(self, seeker: Seeker) -> bool:
        """Give it a link there is."""
        while self.free:
            link = next(reversed(self.free))
            seeker.reused = True
            if seeker.ask(link):
                return True
            del self.free[link]
        seeker.reused = False
        return False

    def serve(self, link: Link) -> bool:
        """There is a new link: give it to those who wait, as many as it takes; whether it took any."""
        served = False
        while self.waiting:
            seeker = self.waiting[0]
            if not seeker.done and not seeker.ask(link):
                if not served:
                    self.refuse(Refusal(Reason.BACKEND_FAILED, "a new connection takes no request"), everybody=True)
                return served
            served = True
            self.waiting.remove(seeker)
        self.freed(link)
        return served

    def refuse(self, refusal: Refusal, *, everybody: bool) -> None:
        """There is no link."""
        refused, self.waiting = (self.waiting, []) if everybody else (self.waiting[:1], self.waiting[1:])
        for seeker in refused:
            seeker.fail(refusal)

    # ---- waypoint.http.link.Owner

    def begun(self, link: Link, stream: int) -> None:
        """A backend begins nothing."""

    def freed(self, link: Link) -> None:
        """It may take a request again."""
        if link.usable:
            self.free[link] = None
            if self.circuit is not None and self.waiting:
                self.pass_on()

    def over(self, link: Link) -> None:
        """It is gone."""
        self.links.pop(link, None)
        self.free.pop(link, None)
        if self.circuit is not None:
            self.circuit.open -= 1
            self._room(self.circuit)

    def pass_on(self) -> None:
        """Those who wait because there may be no more links take turns on the ones there are."""
        while self.waiting:
            seeker = self.waiting.pop(0)
            if not seeker.done and not self.ask(seeker):
                self.waiting.insert(0, seeker)
                return
