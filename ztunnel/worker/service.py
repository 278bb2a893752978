"""A worker's life: it gets its certificate, serves its pod, and drains when told to end or when it is relieved."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import Final

import trio

from mesh.address import parse_ip
from mesh.net.deadlines import Deadlines
from mesh.net.pool import Pool
from mesh.net.relay import Relay
from mesh.net.tls import ClientTls
from mesh.quota import Quota
from mesh.refusal import Refusal
from mesh.sampling import Sampling
from ztunnel.channel.message import FromSupervisor, Hold, Resolved, Revoked, Signed, Unsigned, Update
from ztunnel.channel.naming import Naming
from ztunnel.drain import Drain, Word, heard
from ztunnel.worker.accept import Acceptor, Refuse, Take
from ztunnel.worker.certificate import Certificate, Petitioner
from ztunnel.worker.crowd import Crowd
from ztunnel.worker.ground import Ground
from ztunnel.worker.inbound import Inbound
from ztunnel.worker.link import Link
from ztunnel.worker.live import Live
from ztunnel.worker.lookup import Lookup
from ztunnel.worker.names import Names
from ztunnel.worker.nameserver import Nameserver
from ztunnel.worker.outbound import Outbound
from ztunnel.worker.sockets import PACKET_MARK
from ztunnel.worker.start import Start
from ztunnel.worker.upstream import Upstream

_LAST_WORDS_SECONDS: Final = 1.0
"""How long the end waits for the last reports to be taken."""
_DESCRIPTORS: Final = 5
"""What one more of everything takes: a call and a plaintext caller have two ends each, a stream has one."""


class Service:
    """One worker and all its parts."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._relay = Relay()
        self._live = Live()
        self._certificate = Certificate()
        self._link = Link(partial(trio.open_unix_socket, start.supervisor), self._receive)
        self._crowd = Crowd(self._link.report)
        self._deadlines = Deadlines()
        self._lookup = Lookup(self._link.send)
        self._link.greeting = self._lookup.greeting
        self._lookup.changed = self._live.check
        self._petitioner = Petitioner(self._link.send)
        servers = tuple(parse_ip(text) for text in start.settings.nameservers.split())
        self._upstream = Upstream(servers, self._lookup.leads_here)
        self._names = Names(self._link.send, self._upstream, self._tell_of_name)
        self._link.begun = self._resume
        self._certificate.installed = self._tell_expiry
        self._accepting = trio.CancelScope()
        self._connections = trio.CancelScope()
        self._drain: Drain | None = None
        self._end_revoked: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Serve until SIGUSR1 or SIGTERM; then drain as `ztunnel.drain` says, and return."""
        identity = self._start.pod.identity(self._start.settings.trust_domain)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1) as signals:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._relay.run)
                nursery.start_soon(self._deadlines.run)
                nursery.start_soon(self._link.run)
                nursery.start_soon(self._certificate.keep, self._petitioner, identity)
                nursery.start_soon(self._hear, signals)
                await self._serve()
                with trio.move_on_after(_LAST_WORDS_SECONDS):
                    await self._link.flushed()
                nursery.cancel_scope.cancel()

    async def _hear(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            settings = self._start.settings
            self._drain = heard(
                self._drain,
                Word.END if number == signal.SIGTERM else Word.RELIEVED,
                trio.current_time(),
                relieved=settings.relieved_seconds,
                ending=settings.drain_seconds,
            )
            self._accepting.cancel()
            self._connections.deadline = self._drain.deadline

    async def _serve(self) -> None:
        with self._connections:
            await self._serve_until_told()

    async def _serve_until_told(self) -> None:
        async with trio.open_nursery() as connections:
            with self._accepting:
                await self._certificate.present.wait()
                tls = self._certificate.client()
                if isinstance(tls, Refusal):
                    return
                pool = Pool(self._relay, tls, mark=PACKET_MARK, timeout=self._start.settings.connect_timeout)
                await self._accept(pool, connections)
            await self._crowd.gone()

    async def _accept(self, pool: Pool, connections: trio.Nursery) -> None:
        self._certificate.renewed = pool.renew
        settings = self._start.settings
        timeout, sampling = settings.connect_timeout, Sampling(settings.trace_share) if settings.traced else None
        ground = Ground(self._relay, self._deadlines, self._lookup, self._crowd, connections, timeout, sampling)
        inbound, outbound = self._inbound(ground), self._outbound(ground, pool)

        def end_revoked() -> None:
            for one in (inbound, pool):
                one.end_if(self._certificate.revoked.refusal)

        self._end_revoked = end_revoked
        try:
            await self._take_all(inbound, outbound)
        finally:
            if self._accepting.cancel_called:
                start = self._start
                for listener in (start.outbound, start.inbound_plaintext, start.inbound, *start.names):
                    listener.close()  # who comes now is refused, unless a successor holds the sockets too
                inbound.drain()
                pool.drain()

    async def _take_all(self, inbound: Inbound, outbound: Outbound) -> None:
        start = self._start
        most = self._most()
        # The pod's own calls have a budget of their own, all of which is theirs.
        calls, callers = Quota("connections", most, most), Quota("connections", most)
        ways: tuple[tuple[socket.socket, Quota, Take, Refuse], ...] = (
            (start.outbound, calls, outbound.take, outbound.refuse),
            (start.inbound_plaintext, callers, inbound.take_plaintext, inbound.refuse),
            (start.inbound, callers, inbound.take, inbound.refuse),
        )
        async with trio.open_nursery() as nursery:
            for listener, budget, take, refuse in ways:
                nursery.start_soon(Acceptor(self._relay, listener, budget, take, refuse).run)
            nameserver = Nameserver(self._names, self._upstream, self._tell_of_name, start.settings.queries)
            nursery.start_soon(nameserver.serve, self._relay, start.names)
            os.write(start.ready, b"R")
            os.close(start.ready)

    def _most(self) -> int:
        """Calls, callers' connections and streams at most, each: so many that descriptors do not run out before."""
        return min(self._start.settings.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _DESCRIPTORS)

    def _inbound(self, ground: Ground) -> Inbound:
        settings = self._start.settings
        return Inbound(
            ground,
            self._live,
            tls=self._certificate.server,
            streams=Quota("streams", self._most()),
            handshakes=Quota("handshakes", settings.handshakes, settings.handshakes_of_one),
        )

    def _outbound(self, ground: Ground, pool: Pool) -> Outbound:
        return Outbound(
            ground,
            pool,
            self._names,
            certified=lambda: None if isinstance(tls := self._certificate.client(), ClientTls) else tls,
        )

    def _resume(self) -> None:
        """A connection to a supervisor began: it may be another one, that knows nothing of our certificate."""
        self._petitioner.stir()
        if self._certificate.expires is not None:
            self._tell_expiry(self._certificate.expires)

    def _tell_expiry(self, expires: datetime) -> None:
        self._link.send(Hold(int(expires.timestamp())))

    def _receive(self, message: FromSupervisor) -> None:
        match message:
            case Update():
                self._lookup.take(message)
            case Resolved():
                self._names.take(message)
            case Revoked(lists):
                self._certificate.revoke(lists)
                self._end_revoked()
            case Signed() | Unsigned():
                self._petitioner.take(message)

    def _tell_of_name(self, naming: Naming) -> None:
        self._link.send(naming)
