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
_ATTEMPTS: Final = 3
"""Tunnels that may turn a request away as unprocessed before its caller hears of it."""


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


class _Dialling:
    """A dial under way, and all who wait for it."""

    __slots__ = ("done", "refusal")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.refusal: Refusal | None = None


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
        self._dials: dict[PoolKey, _Dialling] = {}
        relay.on_tick.add(self._sweep)

    async def connect(self, key: PoolKey, authority: str, headers: Sequence[Field] = ()) -> Stream | Rejected:
        """Open a stream to `key`, on a tunnel there is or a new one. Raises DialFailed when none can be had.

        A request that a draining peer has certainly not processed goes to the next tunnel.
        """
        answer: Stream | Rejected = Rejected(503)
        for _ in range(_ATTEMPTS):
            kept = await self._free(key)
            answer = await kept.tunnel.connect(authority, headers)
            kept.idle_since = trio.current_time()
            if isinstance(answer, Stream) or not answer.unprocessed:
                break
        return answer

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

    async def _free(self, key: PoolKey) -> _Kept:
        """A tunnel with room. Callers that find none share one dial, and its failure."""
        while True:
            for kept in self._tunnels.get(key, ()):
                if kept.free:
                    return kept
            dialling = self._dials.get(key)
            if dialling is None:
                dialling = self._dials[key] = _Dialling()
                self._relay.spawn(self._dial, key, dialling)
            await dialling.done.wait()
            if dialling.refusal is not None:
                raise DialFailed(dialling.refusal)

    async def _dial(self, key: PoolKey, dialling: _Dialling) -> None:
        try:
            tunnel = await Tunnel.dial(
                self._relay, key.address, self._tls, key.accepts, timeout=self._timeout, mark=self._mark, bind=key.bind
            )
        except DialFailed as fault:
            dialling.refusal = fault.refusal
        except BaseException:
            dialling.refusal = Refusal(Reason.DRAINING, "the relay has ended")
            raise
        else:
            tunnel.end_if(self._verdict)  # it may have changed since the handshake
            self._tunnels.setdefault(key, []).append(_Kept(tunnel))
        finally:
            del self._dials[key]
            dialling.done.set()

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
