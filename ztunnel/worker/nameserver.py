"""15053: the pod's questions for names. What the mesh knows is answered here, all else is passed on as it came."""

from __future__ import annotations

import logging
import random
import socket
from collections.abc import Callable
from typing import Final

import trio

from mesh.address import Address
from mesh.net.relay import Relay
from mesh.quota import Quota
from mesh.refusal import Refusal
from ztunnel import question as questions
from ztunnel.channel.naming import Naming, Outcome
from ztunnel.question import Question
from ztunnel.worker.accept import Acceptor, Done
from ztunnel.worker.boundary import served
from ztunnel.worker.names import Names
from ztunnel.worker.upstream import Upstream, receive_framed, send_framed

_log = logging.getLogger("worker")

_IDLE_SECONDS: Final = 10.0
"""How long a TCP connection may be silent."""
_STREAMS: Final = 64
"""TCP connections at a time."""
_PAUSE: Final = 0.1
_POD: Final = "the pod"
"""Who holds all that is in use here."""


class Nameserver:
    """Answers the questions of one pod, so many at the same time; more are refused unanswered."""

    def __init__(self, names: Names, upstream: Upstream, tell: Callable[[Naming], None], most: int) -> None:
        self._names = names
        self._upstream = upstream
        self._tell = tell
        self._budget = Quota("questions", most, most)
        self._streams = Quota("connections", _STREAMS, _STREAMS)

    async def serve(self, relay: Relay, sockets: tuple[socket.socket, ...]) -> None:
        """Serve these UDP and listening TCP sockets until cancelled."""

        def take(sock: socket.socket, source: Address, done: Done) -> None:
            nursery.start_soon(served, self._stream, sock, source, done)

        async with trio.open_nursery() as nursery:
            for sock in sockets:
                if sock.type == socket.SOCK_DGRAM:
                    nursery.start_soon(self._datagrams, sock, nursery)
                else:
                    nursery.start_soon(Acceptor(relay, sock, self._streams, take, self._refuse_stream).run)

    async def _datagrams(self, own: socket.socket, nursery: trio.Nursery) -> None:
        sock = trio.socket.from_stdlib_socket(own)
        while True:
            try:
                packet, peer = await sock.recvfrom(questions.LARGEST_TCP)
            except OSError as fault:
                _log.warning("cannot receive questions now: %s", fault.strerror)
                await trio.sleep(_PAUSE)
                continue
            refusal = self._budget.take(_POD)
            if refusal is None:
                nursery.start_soon(self._datagram, sock, packet, peer)
            else:
                self._tell(Naming(Outcome.REFUSED))

    async def _datagram(self, sock: trio.socket.SocketType, packet: bytes, peer: tuple[str, int]) -> None:
        try:
            if (reply := await self._reply(packet, tcp=False)) is not None:
                await sock.sendto(reply, peer)
        except OSError as fault:
            _log.debug("an answer could not be sent: %s", fault.strerror)
        except Exception:  # noqa: BLE001 - the boundary: whatever it was, the other questions are answered
            _log.exception("a question ended by a fault of this proxy")
        finally:
            self._budget.give(_POD)

    async def _stream(self, own: socket.socket, _source: Address) -> None:
        with trio.socket.from_stdlib_socket(own) as sock, trio.move_on_after(_IDLE_SECONDS) as idle:
            try:
                while (packet := await receive_framed(sock)) is not None:
                    reply = await self._reply(packet, tcp=True)
                    if reply is None:
                        return
                    await send_framed(sock, reply)
                    idle.deadline = trio.current_time() + _IDLE_SECONDS
            except OSError as fault:
                _log.debug("a process broke off: %s", fault.strerror)

    async def _reply(self, packet: bytes, *, tcp: bool) -> bytes | None:
        protocol = "tcp" if tcp else "udp"
        question = questions.read(packet)
        if not isinstance(question, Question):
            self._tell(Naming(Outcome.REFUSED, protocol=protocol))
            return question
        kind = question.kind
        if kind != "other" and question.name:
            resolved = await self._names.known(question.name)
            if resolved.known:
                self._tell(Naming(Outcome.ANSWERED, kind, protocol))
                shuffled = random.sample(resolved.addresses, len(resolved.addresses))
                return questions.answer(question, resolved.alias, shuffled, questions.LARGEST_TCP if tcp else None)
        began = trio.current_time()
        reply = await self._upstream.ask(question, tcp=tcp)
        failed = isinstance(reply, Refusal)
        self._tell(Naming(Outcome.FAILED if failed else Outcome.FORWARDED, kind, protocol, trio.current_time() - began))
        if isinstance(reply, Refusal):
            _log.warning("%s", reply.detail)
            return questions.failure(question)
        return reply

    def _refuse_stream(self, _sock: socket.socket, _source: Address, _refusal: Refusal) -> None:
        self._tell(Naming(Outcome.REFUSED, protocol="tcp"))
