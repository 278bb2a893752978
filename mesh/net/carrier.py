"""One connection's bytes for code that lives in the relay: a tunnel's stream and a plain socket, called back alike."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, Protocol

from mesh.hbone.frames import ErrorCode, code_name
from mesh.net.flow import close_with_reset, prepare
from mesh.net.relay import FAULT, IN, OUT

if TYPE_CHECKING:
    from mesh.hbone.stream import StreamState
    from mesh.net.relay import Relay
    from mesh.net.wire import Wire

_UNTAKEN: Final = 256 * 1024
"""Bytes of a plain socket that may wait with the terminal before no more is read."""


class Terminal(Protocol):
    """What stands at the near end. Called in the order of what happened, never after `lost`."""

    def data(self, view: memoryview) -> None:
        """Bytes came; `view` is valid during the call only. Tell `Carrier.took` once they are dealt with."""

    def ended(self) -> None:
        """The peer has sent its last byte."""

    def lost(self, detail: str) -> None:
        """The connection broke; nothing more passes either way."""

    def drained(self) -> None:
        """Everything written has been passed on."""


class Carrier(Protocol):
    """A connection, as its terminal uses it. Nothing moves before `start`."""

    @property
    def backlog(self) -> int:
        """Bytes that wait because the peer does not take them."""

    def start(self, terminal: Terminal) -> None:
        """Name the near end; what came before is told to it at once. A later call replaces it."""

    def write(self, data: bytes) -> None:
        """Send it, or keep it until that is possible: who writes minds the backlog."""

    def took(self, count: int) -> None:
        """So many bytes are dealt with: the peer may send as many again."""

    def end(self) -> None:
        """Our half is over, behind everything written."""

    def close(self) -> None:
        """Be done with it, both ways; what is written is still sent where the peer listens."""

    def cut(self) -> None:
        """Break it off, so that the peer sees that it was."""


class StreamCarrier:
    """A stream of a tunnel (mesh.hbone.stream.Sink)."""

    __slots__ = ("_connection", "_ending", "_state", "_terminal", "_waiting")

    def __init__(self, wire: Wire, state: StreamState) -> None:
        self._connection = wire.connection
        self._state = state
        self._terminal: Terminal | None = None
        self._waiting = bytearray()
        self._ending = False

    @property
    def backlog(self) -> int:
        """See `Carrier`."""
        return len(self._waiting)

    def start(self, terminal: Terminal) -> None:
        """See `Carrier`."""
        first, self._terminal = self._terminal is None, terminal
        if first:
            self._state.attach(self)

    def write(self, data: bytes) -> None:
        """See `Carrier`."""
        state = self._state
        if self._waiting:
            self._waiting += data
        elif state.reset_code is None and not self._ending:
            size = len(data)
            hole = self._connection.hole(state, size)
            if hole is not None and len(hole) == size:
                hole[:] = data
                self._connection.fill(state, size)
                return
            self._waiting += data
            self.may_send()

    def took(self, count: int) -> None:
        """See `Carrier`."""
        self._state.took(count)

    def end(self) -> None:
        """See `Carrier`."""
        self._ending = True
        if not self._waiting:
            self._state.end()

    def close(self) -> None:
        """See `Carrier`."""
        self.end()
        if not self._waiting:
            self._state.reset(ErrorCode.NO_ERROR)

    def cut(self) -> None:
        """See `Carrier`."""
        self._waiting.clear()
        self._state.reset(ErrorCode.CANCEL)

    # ---- mesh.hbone.stream.Sink

    def data(self, view: memoryview) -> None:
        """Pass it on."""
        if self._terminal is not None:
            self._terminal.data(view)

    def ended(self) -> None:
        """Pass it on."""
        if self._terminal is not None:
            self._terminal.ended()

    def was_reset(self, code: int) -> None:
        """Say why."""
        self._waiting.clear()
        if self._terminal is not None:
            violation = self._connection.violation
            why = str(violation) if violation is not None else f"the peer reset the stream: {code_name(code)}"
            self._terminal.lost(why)

    def may_send(self) -> None:
        """Send of the backlog what goes."""
        waiting, state = self._waiting, self._state
        sent = 0
        with memoryview(waiting) as view:
            while sent < len(view):
                hole = self._connection.hole(state, len(view) - sent)
                if hole is None:
                    break
                count = len(hole)
                hole[:] = view[sent : sent + count]
                self._connection.fill(state, count)
                sent += count
        del waiting[:sent]
        if waiting:
            return
        if self._ending:
            state.end()
        elif sent and self._terminal is not None:
            self._terminal.drained()


class SocketCarrier:
    """A connected plain socket, which the carrier owns."""

    __slots__ = ("_deaf", "_ending", "_gone", "_relay", "_sock", "_terminal", "_untaken", "_waiting", "_watch")

    def __init__(self, relay: Relay, sock: socket.socket) -> None:
        prepare(sock)
        self._relay = relay
        self._sock = sock
        self._terminal: Terminal | None = None
        self._waiting = bytearray()
        self._untaken = 0
        self._deaf = False
        """The peer has sent its last byte."""
        self._ending = self._gone = False
        self._watch = relay.watch(sock.fileno(), self._ready)

    @property
    def backlog(self) -> int:
        """See `Carrier`."""
        return len(self._waiting)

    def start(self, terminal: Terminal) -> None:
        """See `Carrier`."""
        first, self._terminal = self._terminal is None, terminal
        if first:
            self._relay.residents.add(self)
            self._watch.want(IN)

    def write(self, data: bytes) -> None:
        """See `Carrier`."""
        if self._gone or self._ending:
            return
        if not self._waiting:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as fault:
                self._broken(fault)
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._waiting += data
        self._watch.want(self._watch.events | OUT)

    def took(self, count: int) -> None:
        """See `Carrier`."""
        self._untaken -= count
        if self._untaken < _UNTAKEN and not (self._watch.events & IN or self._gone or self._deaf):
            self._watch.want(self._watch.events | IN)

    def end(self) -> None:
        """See `Carrier`."""
        if not self._ending:
            self._ending = True
            self._shut()

    def close(self) -> None:
        """See `Carrier`."""
        self.end()
        if not self._gone and not self._waiting:
            self._drop()
            self._sock.close()

    def cut(self) -> None:
        """See `Carrier`."""
        if not self._gone:
            self._drop()
            close_with_reset(self._sock)

    abort = cut

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._drain()
        if events & ~OUT and not (self._gone or self._deaf):
            self._pull()

    def _pull(self) -> None:
        scratch = self._relay.plaintext[:_UNTAKEN]
        try:
            count = self._sock.recv_into(scratch)
        except BlockingIOError:
            return
        except OSError as fault:
            self._broken(fault)
            return
        terminal = self._terminal
        if terminal is None:
            return
        if not count:
            self._deaf = True
            self._watch.want(self._watch.events & ~IN or FAULT)
            terminal.ended()
            return
        self._untaken += count
        terminal.data(scratch[:count])
        if self._untaken >= _UNTAKEN and not self._gone:
            self._watch.want(self._watch.events & ~IN or FAULT)

    def _drain(self) -> None:
        try:
            count = self._sock.send(self._waiting)
        except BlockingIOError:
            return
        except OSError as fault:
            self._broken(fault)
            return
        del self._waiting[:count]
        if self._waiting:
            return
        self._watch.want(self._watch.events & ~OUT or FAULT)
        if self._ending:
            self._shut()
        elif self._terminal is not None:
            self._terminal.drained()

    def _shut(self) -> None:
        if self._gone or self._waiting:
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as fault:
            self._broken(fault)

    def _broken(self, fault: OSError) -> None:
        self._drop()
        self._sock.close()
        if self._terminal is not None:
            self._terminal.lost(f"the connection broke: {fault.strerror}")

    def _drop(self) -> None:
        self._gone = True
        self._waiting.clear()
        self._watch.want(0)
        self._relay.residents.discard(self)
