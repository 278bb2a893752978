"""Connections to endpoints: by tunnel where the endpoint has a proxy, by plain TCP where not; for HTTP, reused."""

from __future__ import annotations

import logging
import socket
import struct
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from mesh.address import Address
from mesh.identity import Identity
from mesh.net.dial import dial
from mesh.net.pool import Pool, PoolKey
from mesh.net.tunnel import DialFailed, Rejected, Stream
from mesh.refusal import Reason, Refusal
from waypoint.http.events import RequestHead
from waypoint.http.exchange import Exchange
from waypoint.http.http1_client import Http1Client
from waypoint.http.http2 import Http2
from waypoint.http.link import Link
from waypoint.plan import Endpoint

_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_IDLE_SECONDS: Final = 60.0
_LINKS: Final = 1024
"""HTTP connections to one endpoint."""

_log = logging.getLogger("waypoint")

TunnelHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is on its way. `reused` says that its connection served others before: it may turn out dead."""

    exchange: Exchange
    reused: bool


@dataclass(frozen=True, slots=True)
class _Key:
    address: Address
    tunnel: Address | None
    accepts: frozenset[Identity]
    http2: bool


class Upstream:
    """All connections of one waypoint to endpoints. Its links live in `nursery`."""

    def __init__(
        self, pool: Pool, nursery: trio.Nursery, *, headers: TunnelHeaders = (), connect_seconds: float = 10.0
    ) -> None:
        """`headers` go with every CONNECT."""
        self._pool = pool
        self._nursery = nursery
        self._headers = headers
        self._connect_seconds = connect_seconds
        self._links: defaultdict[_Key, list[Link]] = defaultdict(list)
        self._dialling: defaultdict[_Key, trio.Lock] = defaultdict(trio.Lock)

    async def ask(
        self, endpoint: Endpoint, request: RequestHead, *, http2: bool, fresh: bool = False
    ) -> Asked | Refusal:
        """Send a request's head on a connection there is, or on a new one; always on a new one if `fresh`."""
        key = _Key(endpoint.address, endpoint.tunnel, endpoint.accepts, http2)
        if not fresh and (exchange := self._reuse(key, request)) is not None:
            return Asked(exchange, reused=True)
        if not http2:
            return await self._ask_anew(key, endpoint, request)
        async with self._dialling[key]:
            # Whoever waited for the lock finds the connection that its holder has made, and shares it.
            if not fresh and (exchange := self._reuse(key, request)) is not None:
                return Asked(exchange, reused=True)
            return await self._ask_anew(key, endpoint, request)

    async def connect(self, endpoint: Endpoint, headers: TunnelHeaders = ()) -> Stream | socket.socket | Refusal:
        """A connection to the endpoint, for bytes of any kind."""
        if endpoint.tunnel is None:
            return await dial(endpoint.address, timeout=self._connect_seconds)
        answer: Stream | Rejected | Refusal = Refusal(
            Reason.CONNECT_TIMEOUT, f"{endpoint.workload.uid} did not answer CONNECT within {self._connect_seconds:g} s"
        )
        with trio.move_on_after(self._connect_seconds):
            try:
                at = PoolKey(endpoint.accepts, endpoint.tunnel)
                answer = await self._pool.connect(at, str(endpoint.address), (*self._headers, *headers))
            except DialFailed as fault:
                return fault.refusal
        return answer.refusal if isinstance(answer, Rejected) else answer

    def drain(self) -> None:
        """Let every connection end with its last exchange."""
        for links in self._links.values():
            for link in links:
                link.drain()
        self._pool.drain()

    @property
    def connections(self) -> int:
        """How many HTTP connections there are."""
        return sum(map(len, self._links.values()))

    def _reuse(self, key: _Key, request: RequestHead) -> Exchange | None:
        """The connection used last is tried first, so that what is not needed falls idle."""
        for link in reversed(self._links.get(key, ())):
            exchange = link.begin(request)
            if exchange is not None:
                return exchange
        return None

    async def _ask_anew(self, key: _Key, endpoint: Endpoint, request: RequestHead) -> Asked | Refusal:
        if len(self._links.get(key, ())) >= _LINKS:
            return Refusal(Reason.OVER_BUDGET, f"{_LINKS} connections to {key.address} are in use")
        made = await self.connect(endpoint)
        if isinstance(made, Refusal):
            return made
        link = _link(made, http2=key.http2)
        exchange = link.begin(request)
        if exchange is None:
            raise RuntimeError("a new connection takes no request")
        self._links[key].append(link)
        self._nursery.start_soon(self._run, key, link)
        return Asked(exchange, reused=False)

    async def _run(self, key: _Key, link: Link) -> None:
        try:
            await link.run()
        except Exception:  # noqa: BLE001  a fault of ours on one connection is that connection's; the others go on
            _log.exception("the connection to %s failed", key.address)
        finally:
            links = self._links[key]
            links.remove(link)
            if not links:
                self._links.pop(key, None)
                self._dialling.pop(key, None)


def _link(made: Stream | socket.socket, *, http2: bool) -> Link:
    codec = Http2(client=True) if http2 else Http1Client()
    if isinstance(made, Stream):
        return Link(made.open(), codec, made.reset, idle_seconds=_IDLE_SECONDS)
    transport = trio.SocketStream(trio.socket.from_stdlib_socket(made))
    return Link(transport, codec, lambda: reset_on_close(made), idle_seconds=_IDLE_SECONDS)


def reset_on_close(sock: socket.socket) -> None:
    """Have the peer see a reset, not an orderly end, when the socket is closed."""
    with suppress(OSError):  # already disconnected: there is nobody to see it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
