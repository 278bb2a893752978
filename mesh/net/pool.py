"""Which tunnel a new stream goes on: one workload's tunnels to its peers, shared and reused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from mesh.net.dial import CONNECT_TIMEOUT
from mesh.net.tunnel import DialFailed, Rejected, Stream, Tunnel
from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from mesh.address import IP, Address
    from mesh.hbone.literals import Field
    from mesh.identity import Identity
    from mesh.net.relay import Relay
    from mesh.net.tls import ClientTls

STREAMS_PER_TUNNEL: Final = 100
IDLE_SECONDS: Final = 300.0
ATTEMPTS: Final = 3
"""Tunnels that may turn a request away as unprocessed before its caller hears of it."""
_DIALS: Final = 8
"""Tunnels to one peer that are opened at a time, when so many streams wait for them."""


@dataclass(frozen=True, slots=True)
class PoolKey:
    """Streams share a tunnel when they go to the same peer at the same address, from the same address of ours."""

    accepts: frozenset[Identity]
    address: Address
    bind: IP | None = None


class _Kept:
    """A tunnel and since when nothing has used it (trio's time)."""

    __slots__ = ("idle_since", "tunnel")

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.idle_since = trio.current_time()

    @property
    def free(self) -> bool:
        return self.tunnel.usable and self.tunnel.streams < STREAMS_PER_TUNNEL


Told = Callable[[Tunnel | Refusal], None]


class _Line:
    """Those who wait for a tunnel to one peer, first come, first served, and how many dials are under way for them."""

    __slots__ = ("dials", "waiting")

    def __init__(self) -> None:
        self.dials = 0
        self.waiting: dict[object, Told] = {}


class Pool:
    """All tunnels that one identity has opened. The relay must be running."""

    def __init__(
        self, relay: Relay, tls: ClientTls, *, mark: int | None = None, timeout: float = CONNECT_TIMEOUT
    ) -> None:
        self._relay = relay
        self._tls = tls
        self._mark = mark
        self._timeout = timeout
        self._verdict: Callable[[Sequence[Certificate]], Refusal | None] = _nothing_against
        self._tunnels: dict[PoolKey, list[_Kept]] = {}
        self._lines: dict[PoolKey, _Line] = {}
        relay.on_tick.add(self._sweep)

    async def connect(self, key: PoolKey, authority: str, headers: Sequence[Field] = ()) -> Stream | Rejected:
        """Open a stream to `key`, on a tunnel there is or a new one. Raises DialFailed when none can be had.

        A request that a draining peer has certainly not processed goes to the next tunnel.
        """
        answer: Stream | Rejected = Rejected(503)
        for _ in range(ATTEMPTS):
            tunnel = await self.tunnel(key)
            answer = await tunnel.connect(authority, headers)
            if isinstance(answer, Stream) or not answer.unprocessed:
                break
        return answer

    async def tunnel(self, key: PoolKey) -> Tunnel:
        """A tunnel with room for a stream that is opened before anything is awaited. Raises DialFailed."""
        got: list[Tunnel | Refusal] = []
        come = trio.Event()

        def told(found: Tunnel | Refusal) -> None:
            got.append(found)
            come.set()

        while True:
            self.obtain(key, told)
            try:
                await come.wait()
            except BaseException:
                self.leave(key, told)
                raise
            found = got.pop()
            if isinstance(found, Refusal):
                raise DialFailed(found)
            if found.usable and found.streams < STREAMS_PER_TUNNEL:
                return found
            come = trio.Event()  # others, woken first, have filled it

    def obtain(self, key: PoolKey, told: Told) -> None:
        """Tell `told` of a tunnel with room, at once if there is one; else dial, and tell it then or why there is none.

        Who is told opens its stream in the call: the next one's tunnel depends on it.
        """
        line = self._lines.get(key)
        kept = self._free(key) if line is None else None
        if kept is not None:
            told(kept.tunnel)
            return
        if line is None:
            line = self._lines[key] = _Line()
        line.waiting[told] = told
        self._dial_enough(key, line)

    def leave(self, key: PoolKey, told: Told) -> None:
        """Wait no more."""
        line = self._lines.get(key)
        if line is not None:
            line.waiting.pop(told, None)

    def renew(self, tls: ClientTls) -> None:
        """Use new credentials for new tunnels; those that live are left alone."""
        self._tls = tls

    def end_if(self, verdict: Callable[[Sequence[Certificate]], Refusal | None]) -> None:
        """End the tunnels to those peers against whose certificates there is something."""
        self._verdict = verdict
        for kept in self._all():
            kept.tunnel.end_if(verdict)

    def drain(self) -> None:
        """Let every tunnel end with its last stream."""
        for kept in self._all():
            kept.tunnel.drain()

    @property
    def tunnels(self) -> int:
        """How many there are."""
        return len(self._all())

    def _all(self) -> list[_Kept]:
        return [kept for row in self._tunnels.values() for kept in row if not kept.tunnel.closed]

    def _free(self, key: PoolKey) -> _Kept | None:
        for kept in self._tunnels.get(key, ()):
            if kept.free:
                kept.idle_since = trio.current_time()
                return kept
        return None

    def _dial_enough(self, key: PoolKey, line: _Line) -> None:
        """As many tunnels as those who wait will fill, some of them at a time."""
        needed = -(-len(line.waiting) // STREAMS_PER_TUNNEL)
        while line.dials < min(needed, _DIALS):
            line.dials += 1
            self._relay.spawn(self._dial, key, line)

    async def _dial(self, key: PoolKey, line: _Line) -> None:
        refusal: Refusal | None = Refusal(Reason.DRAINING, "the relay has ended")
        try:
            tunnel = await Tunnel.dial(
                self._relay, key.address, self._tls, key.accepts, timeout=self._timeout, mark=self._mark, bind=key.bind
            )
            tunnel.end_if(self._verdict)  # it may have changed since the handshake
            self._tunnels.setdefault(key, []).append(_Kept(tunnel))
            refusal = None
        except DialFailed as fault:
            refusal = fault.refusal
        finally:
            line.dials -= 1
            self._serve(key, line, refusal)

    def _serve(self, key: PoolKey, line: _Line, refusal: Refusal | None) -> None:
        """A dial is over: those who wait get a tunnel while there is room, and the refusal if no dial is left."""
        kept = self._free(key)
        if kept is None and refusal is None:
            refusal = Refusal(Reason.PEER_REFUSED, f"{key.address} takes no stream on a new tunnel")
        while line.waiting and kept is not None:
            line.waiting.pop(next(iter(line.waiting)))(kept.tunnel)
            kept = self._free(key)
        if refusal is None:
            self._dial_enough(key, line)
        if line.dials:
            return
        del self._lines[key]
        if refusal is not None:
            for told in list(line.waiting.values()):
                told(refusal)

    def _sweep(self) -> None:
        """Forget what is closed; release what nothing has used for long."""
        now = trio.current_time()
        for key, row in list(self._tunnels.items()):
            row[:] = [kept for kept in row if not kept.tunnel.closed]
            if not row:
                del self._tunnels[key]
            for kept in row:
                if kept.tunnel.streams:
                    kept.idle_since = now
                elif now - kept.idle_since >= IDLE_SECONDS:
                    kept.tunnel.drain()


def _nothing_against(_chain: Sequence[Certificate]) -> None:
    return
