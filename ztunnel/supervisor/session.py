"""One worker's conversation: it is kept up to date about what it asked for, gets certificates, and is listened to."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh import pki
from mesh.address import IP
from mesh.net.certs import SigningFailed
from mesh.net.crlfile import CrlFile
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Change
from ztunnel.channel.frames import LARGEST_UP, ChannelError, Frames, frame
from ztunnel.channel.message import (
    MOST_DESTINATIONS,
    MOST_NAMES,
    Ask,
    Forget,
    FromSupervisor,
    FromWorker,
    Hold,
    Report,
    Resolve,
    Revoked,
    Sign,
    Signed,
    Unsigned,
    Update,
    from_worker,
    to_worker,
)
from ztunnel.channel.naming import Naming
from ztunnel.supervisor.names import resolve
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.share import NOTHING, Share, difference, share
from ztunnel.supervisor.sight import Sight, Topics
from ztunnel.supervisor.state import State
from ztunnel.worker.start import Pod

_CHUNK: Final = 64 * 1024
_CHANGES_PER_UPDATE: Final = 1000
"""So that no message grows beyond what the channel carries."""

Signer = Callable[[Pod, bytes], Awaitable[pki.Chain]]
"""Has the request of a pod's worker signed for the pod's own identity; raises SigningFailed."""


class Session:
    """Serves one worker. Everything it gets is decided by which pod it serves, never by what it says about itself."""

    def __init__(
        self,
        pod: Pod,
        stream: trio.abc.Stream,
        state: State,
        place: Place,
        *,
        sign: Signer,
        revoked: CrlFile,
        report: Callable[[Report], None],
        named: Callable[[Naming], None],
        hold: Callable[[int], None],
    ) -> None:
        self._pod = pod
        self._stream = stream
        self._state = state
        self._place = place
        self._sign = sign
        self._report = report
        self._revoked = revoked
        self._named = named
        self._unnamed: deque[str] = deque(maxlen=MOST_NAMES)
        """Names that were asked for and not answered yet; of too many the first has been given up by now."""
        self._hold = hold
        self._greeted = False
        self._asked: dict[IP, None] = {}
        self._answered: set[IP] = set()
        self._concerns: Topics = frozenset()
        """What the worker's share depends on, as of when it was last worked out."""
        self._signing = False
        self._stirred = trio.Event()
        self._questioned = trio.Event()
        self._writing = trio.Lock()

    async def run(self) -> None:
        """Serve until the worker hangs up. Raises ChannelError when it says what no worker says."""
        with self._state.heard(self._note):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_informed)
                nursery.start_soon(self._answer)
                nursery.start_soon(self._tell_revoked)
                frames = Frames(LARGEST_UP)
                while data := await self._stream.receive_some(_CHUNK):
                    for document in frames.receive(data):
                        self._hear(from_worker(document), nursery)
                nursery.cancel_scope.cancel()

    def _hear(self, message: FromWorker, nursery: trio.Nursery) -> None:
        match message:
            case Ask(destinations):
                self._greeted = True
                self._asked.update(dict.fromkeys(destinations))
                self._answered.difference_update(destinations)
                if len(self._asked) > MOST_DESTINATIONS:
                    raise ChannelError(f"a worker may ask for {MOST_DESTINATIONS} destinations at a time")
                self._stir()
            case Forget(destinations):
                for ip in destinations:
                    self._asked.pop(ip, None)
                self._answered.difference_update(destinations)
            case Sign(csr):
                if self._signing:
                    raise ChannelError("a worker may ask for one certificate at a time")
                self._signing = True
                nursery.start_soon(self._have_signed, csr)
            case Hold(until):
                self._hold(until)
            case Report():
                self._report(message)
            case Resolve(name):
                self._unnamed.append(name)
                self._questioned.set()
            case Naming():
                self._named(message)

    async def _keep_informed(self) -> None:
        """Send what changed whenever something did. While one update is being sent, the next ones become one."""
        held: Share = NOTHING
        whole = True
        while True:
            self._stirred = trio.Event()
            if self._greeted and self._state.synced:
                held = await self._inform(held, whole=whole)
                whole = False
            await self._stirred.wait()

    async def _answer(self) -> None:
        """Say what names are, once everything is known."""
        while True:
            self._questioned = trio.Event()
            while self._unnamed and self._state.synced:
                name = self._unnamed.popleft()
                await self._send(resolve(self._state.snapshot, self._place, self._pod, name))
            await self._questioned.wait()

    async def _inform(self, held: Share, *, whole: bool) -> Share:
        snapshot = self._state.snapshot
        sight = Sight(snapshot, self._place.uid(self._pod))
        own = self._place.workload(snapshot, self._pod)
        now = share(sight, own, self._place.network, self._asked)
        self._concerns = frozenset(sight.concerns)
        changes = difference(held, now)
        answered = tuple(ip for ip in self._asked if ip not in self._answered)
        self._answered.update(answered)
        if whole or changes or answered:
            uid = own.uid if own is not None else None
            for update in _portions(uid, changes, answered, whole=whole):
                await self._send(update)
        return now

    async def _tell_revoked(self) -> None:
        """Send the revocation lists whenever there are others, and at the beginning if there are any."""
        told, changed = "", trio.Event()

        def note() -> None:
            changed.set()

        self._revoked.follow(note)
        try:
            while True:
                changed = trio.Event()
                if told != self._revoked.pem:
                    told = self._revoked.pem
                    await self._send(Revoked(told))
                await changed.wait()
        finally:
            self._revoked.leave(note)

    async def _have_signed(self, csr: str) -> None:
        answer: Signed | Unsigned
        try:
            chain = await self._sign(self._pod, csr.encode())
            answer = Signed(chain.certificates.decode("ascii"), chain.roots.decode("ascii"))
        except (SigningFailed, UnicodeError) as fault:
            answer = Unsigned(Refusal(Reason.NO_CERTIFICATE, str(fault)))
        self._signing = False
        await self._send(answer)

    async def _send(self, message: FromSupervisor) -> None:
        async with self._writing:
            await self._stream.send_all(frame(to_worker(message)))

    def _note(self, topics: Topics | None) -> None:
        if topics is None or not self._concerns.isdisjoint(topics):
            self._stir()

    def _stir(self) -> None:
        self._stirred.set()
        self._questioned.set()


def _portions(own: str | None, changes: tuple[Change, ...], answered: tuple[IP, ...], *, whole: bool) -> list[Update]:
    """One update, or several if it is long; only the last of them answers."""
    parts = [changes[at : at + _CHANGES_PER_UPDATE] for at in range(0, len(changes), _CHANGES_PER_UPDATE)] or [()]
    last = len(parts) - 1
    return [
        Update(own, part, answered if number == last else (), whole=whole and not number)
        for number, part in enumerate(parts)
    ]
