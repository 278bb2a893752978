"""The TLS connection under a tunnel, in the relay: one read and one decryption in, one encryption and one send out."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mesh.hbone.frames import ErrorCode
from mesh.net.alerts import Alert
from mesh.net.records import RecordFault
from mesh.net.relay import IN, OUT

if TYPE_CHECKING:
    from mesh.hbone.connection import Connection
    from mesh.net.relay import Relay
    from mesh.net.tls import Session

_LAST_WORDS: Final = 2
"""Ticks that a peer gets to read our last words and close."""


class Wire:
    """Carries a connection's bytes. All output of a turn leaves as one piece; while a piece waits, sources rest."""

    __slots__ = (
        "_closing",
        "_on_gone",
        "_parting",
        "_records",
        "_recv_into",
        "_send",
        "_sock",
        "_tail",
        "_ticks_left",
        "_waiting",
        "_watch",
        "connection",
        "gone",
        "relay",
    )

    def __init__(
        self, relay: Relay, sock: socket.socket, session: Session, connection: Connection, on_gone: Callable[[], None]
    ) -> None:
        self.relay = relay
        self.connection = connection
        self.gone = False
        """Whether the socket is closed."""
        self._sock = sock
        self._records = session.records()
        self._send = sock.send
        self._recv_into = sock.recv_into
        self._on_gone = on_gone
        self._tail = b""
        self._waiting = memoryview(b"")
        self._closing = False
        """Nothing follows what is in the output now."""
        self._parting = False
        """Our last words are sent; what still comes is thrown away."""
        self._ticks_left = _LAST_WORDS
        self._watch = relay.watch(sock.fileno(), self._ready)

    def start(self) -> None:
        """Begin, with what the handshake has already read."""
        self._watch.want(IN)
        self.relay.residents.add(self)
        self.relay.on_tick.add(self._tick)
        self._take(memoryview(self._records.torn))
        self.relay.touch(self)

    def flush(self) -> None:
        """Encrypt and send the connection's output, unless earlier output still waits."""
        if self._waiting or self._parting or self.gone:
            return
        connection = self.connection
        if connection.pending:
            self._transmit(self._records.encrypt(connection.output(), self.relay.ciphertext))
            connection.feed()
        if self._closing and not self._waiting and not self.gone:
            self._say_goodbye()

    def close(self) -> None:
        """Send what there is, then say goodbye, give the peer time to read it, and be gone."""
        if not self._closing:
            self._closing = True
            self.relay.touch(self)

    def abort(self) -> None:
        """Be gone at once."""
        if self.gone:
            return
        self.gone = True
        self.relay.residents.discard(self)
        self.relay.on_tick.discard(self._tick)
        self._watch.want(0)
        self._sock.close()
        self.connection.lose("the tunnel was closed")
        self._on_gone()

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._drain()
        if events & ~OUT and not self.gone:
            self._pull()

    def _pull(self) -> None:
        ciphertext, torn = self.relay.ciphertext, self._records.torn
        start = len(torn)
        ciphertext[:start] = torn
        try:
            count = self._recv_into(ciphertext[start:])
        except BlockingIOError:
            return
        except OSError as fault:
            self._lost(f"the connection broke: {fault.strerror}")
            return
        if not count:
            self._cut()
        elif not self._parting:
            self._take(ciphertext[: start + count])

    def _take(self, ciphertext: memoryview) -> None:
        plaintext, tail = self.relay.plaintext, self._tail
        offset = len(tail)
        plaintext[:offset] = tail
        try:
            end = self._records.decrypt(ciphertext, plaintext, offset)
        except RecordFault as fault:
            self._tell(fault)
            self._lost(f"TLS failed: {fault.detail}")
            return
        if end > offset:
            consumed = self.connection.receive(plaintext[:end])
            self._tail = bytes(plaintext[consumed:end])
        if self._records.closed:
            self._cut()

    def _transmit(self, ciphertext: memoryview) -> None:
        try:
            count = self._send(ciphertext)
        except BlockingIOError:
            count = 0
        except OSError as fault:
            self._lost(f"the connection broke: {fault.strerror}")
            return
        if count < len(ciphertext):
            self._waiting = memoryview(bytes(ciphertext[count:]))
            self.connection.clogged = True
            self._watch.want(IN | OUT)

    def _drain(self) -> None:
        try:
            count = self._send(self._waiting)
        except BlockingIOError:
            return
        except OSError as fault:
            self._lost(f"the connection broke: {fault.strerror}")
            return
        self._waiting = self._waiting[count:]
        if not self._waiting:
            self.connection.clogged = False
            self._watch.want(IN)
            self.flush()
            self.connection.feed()

    def _say_goodbye(self) -> None:
        self._parting = True
        try:
            self._send(self._records.alert(Alert.CLOSE_NOTIFY))
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()

    def _tell(self, fault: RecordFault) -> None:
        """Let the peer know what it did, if its window has room and nothing stands in front of it."""
        if fault.alert is not None and not self._waiting:
            with suppress(OSError):
                self._send(self._records.alert(fault.alert))

    def _tick(self) -> None:
        if self._closing:
            self._ticks_left -= 1
            if self._ticks_left < 0:
                self.abort()
        elif not self.connection.tick():
            self.connection.abandon(ErrorCode.NO_ERROR, "the peer gave no sign of life")
            self.abort()

    def _cut(self) -> None:
        self.connection.cut("the peer closed the connection", torn=bool(self._tail))
        self.abort()

    def _lost(self, detail: str) -> None:
        self.connection.lose(detail)
        self.abort()
