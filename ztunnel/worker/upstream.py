"""Questions to the name servers outside the mesh: the first is asked, and when it fails the next.

Every question goes out under a number and from a port of its own, and only what comes back to there, from that server,
under that number and to that question, is taken for its answer (RFC 5452). The packets carry the worker's mark: a
captured question never comes back here.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Final

import trio

from mesh.address import IP, Address
from mesh.net.dial import dial
from mesh.refusal import Reason, Refusal
from ztunnel import question as questions
from ztunnel.question import Question
from ztunnel.worker.sockets import PACKET_MARK

_PORT: Final = 53
_ANSWER_SECONDS: Final = 1.5
_ROUNDS: Final = 2
"""How often each server is asked: a datagram may be lost."""
_LONGEST_SECONDS: Final = 4.5
"""For all of it. A process gives up after 5."""

_dice: Final = random.SystemRandom()


class Upstream:
    """The name servers. `barred` says why one must not be asked, or None."""

    def __init__(self, servers: tuple[IP, ...], barred: Callable[[IP], str | None]) -> None:
        self._servers = servers
        self._barred = barred

    async def ask(self, question: Question, *, tcp: bool = False) -> bytes | Refusal:
        """The reply, under the question's own number; of those that could not answer the last one's."""
        last: bytes | None = None
        why = "no name server is known: see AMBIT_RESOLV_CONF"
        with trio.move_on_after(_LONGEST_SECONDS):
            for server in self._servers * _ROUNDS:
                if barred := self._barred(server):
                    why = barred
                    continue
                reply = await self._try(server, question, tcp=tcp)
                if isinstance(reply, Refusal):
                    why = reply.detail
                    continue
                last = questions.numbered(reply, int.from_bytes(question.packet[:2], "big"))
                if not questions.inconclusive(reply):
                    break
        return last or Refusal(Reason.UNKNOWN_DESTINATION, f"{question.name} could not be resolved: {why}")

    async def _try(self, server: IP, question: Question, *, tcp: bool) -> bytes | Refusal:
        number = _dice.randrange(1 << 16)
        ask = _by_tcp if tcp else _by_udp
        try:
            with trio.fail_after(_ANSWER_SECONDS):
                return await ask(server, question, number)
        except trio.TooSlowError:
            why = f"name server {server} did not answer within {_ANSWER_SECONDS:g} s"
        except OSError as fault:
            why = f"name server {server}: {fault.strerror or fault}"
        return Refusal(Reason.UNKNOWN_DESTINATION, why)


async def _by_udp(server: IP, question: Question, number: int) -> bytes:
    """Raises OSError."""
    family = socket.AF_INET if server.version == 4 else socket.AF_INET6
    with trio.socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PACKET_MARK)
        await sock.connect((str(server), _PORT))
        await sock.send(questions.numbered(question.packet, number))
        while True:
            reply = await sock.recv(questions.LARGEST_TCP)
            if questions.answers(reply, question, number):
                return reply


async def _by_tcp(server: IP, question: Question, number: int) -> bytes:
    """Raises OSError."""
    made = await dial(Address(server, _PORT), timeout=_ANSWER_SECONDS, mark=PACKET_MARK)
    if isinstance(made, Refusal):
        raise OSError(made.detail)
    packet = questions.numbered(question.packet, number)
    with trio.socket.from_stdlib_socket(made) as sock:
        await send_framed(sock, packet)
        reply = await receive_framed(sock)
    if reply is None or not questions.answers(reply, question, number):
        raise OSError("its answer is none to this question")
    return reply


async def send_framed(sock: trio.socket.SocketType, packet: bytes) -> None:
    """One packet on a stream, behind its length (RFC 1035, section 4.2.2). Raises OSError."""
    rest = memoryview(len(packet).to_bytes(2, "big") + packet)
    while rest:
        rest = rest[await sock.send(rest) :]


async def receive_framed(sock: trio.socket.SocketType) -> bytes | None:
    """The next packet of a stream; None at its end. Raises OSError."""
    length = await _receive_exactly(sock, 2)
    return await _receive_exactly(sock, int.from_bytes(length, "big")) if length is not None else None


async def _receive_exactly(sock: trio.socket.SocketType, count: int) -> bytes | None:
    received = b""
    while len(received) < count:
        more = await sock.recv(count - len(received))
        if not more:
            return None
        received += more
    return received
