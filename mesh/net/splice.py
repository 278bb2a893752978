"""A socket and a stream of a tunnel, joined in the relay: the product's hot path."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import trio

from mesh.hbone.frames import ErrorCode, code_name
from mesh.hbone.stream import StreamState
from mesh.net.flow import Flow, close_with_reset, fault_of, prepare
from mesh.net.relay import FAULT, IN, OUT

if TYPE_CHECKING:
    from mesh.net.wire import Wire

_CHUNK: Final = 512 * 1024
"""The most that is read at once: large, because every read costs a system call and a frame."""
_WORTH_READING: Final = 128 * 1024
"""With less room than this the outbox is sent first."""


class Splice(Flow):
    """Reads the socket straight into the tunnel's outbox; writes the stream's data to it from where it was decrypted.

    What the socket does not take waits in a backlog. The peer is given credit for what the socket took, so the backlog
    is at most a stream window. Out of credit, the socket is watched for faults only until there is some.
    """

    __slots__ = ("_backlog", "_connection", "_deaf", "_recv_into", "_send", "_sock", "_state", "_watch", "_wire")

    def __init__(self, wire: Wire, state: StreamState, sock: socket.socket) -> None:
        super().__init__(wire.relay)
        prepare(sock)
        self._wire = wire
        self._connection = wire.connection
        self._state = state
        self._sock = sock
        self._send = sock.send
        self._recv_into = sock.recv_into
        self._backlog = bytearray()
        self._deaf = False
        """Nothing more will be read from the socket."""
        self._watch = wire.relay.watch(sock.fileno(), self._ready)
        self._watch.want(IN)
        state.attach(self)

    def abort(self) -> None:
        """End it now: RST_STREAM to the peer, RST to the application."""
        if self.ending is None:
            self._state.reset(ErrorCode.CANCEL)
            self._drop()
            self._finish("aborted")

    # ---- the socket's side

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._drain()
        if events & ~OUT and self.ending is None:
            if self._watch.events & IN:
                self._pull()
            elif (fault := fault_of(self._sock)) is not None:
                self._broken(fault)

    def _pull(self) -> None:
        connection, state = self._connection, self._state
        if connection.space < _WORTH_READING:
            self._wire.flush()
            if self.ending is not None:
                return  # the tunnel broke
        hole = connection.hole(state, _CHUNK)
        if hole is None:
            self._watch.want(self._watch.events & ~IN | FAULT)
            return
        try:
            count = self._recv_into(hole)
        except BlockingIOError:
            return
        except OSError as fault:
            self._broken(fault)
            return
        if count:
            connection.fill(state, count)
            self.sent += count
            return
        self._deaf = True
        self._watch.want(self._watch.events & ~IN | FAULT)
        state.end()
        self._finish_if_over()

    def _drain(self) -> None:
        try:
            count = self._send(self._backlog)
        except BlockingIOError:
            return
        except OSError as fault:
            self._broken(fault)
            return
        del self._backlog[:count]
        self._state.took(count)
        if not self._backlog:
            self._watch.want(self._watch.events & ~OUT | FAULT)
            if self._state.remote_ended:
                self._shut()

    def _shut(self) -> None:
        """Pass the peer's end on; closing the socket, when the application has ended too, says the same."""
        if self._deaf:
            self._finish_if_over()
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as fault:
            self._broken(fault)

    def _finish_if_over(self) -> None:
        if self.ending is None and self._deaf and self._state.remote_ended and not self._backlog:
            self._watch.want(0)
            self._sock.close()
            self._finish("fin")

    def _broken(self, fault: OSError) -> None:
        self._state.reset(ErrorCode.CANCEL)
        self._drop()
        self._finish("reset", f"the application: {fault.strerror}")

    def _drop(self) -> None:
        self._watch.want(0)
        self._backlog.clear()
        close_with_reset(self._sock)

    # ---- the stream's side (mesh.hbone.stream.Sink)

    def data(self, view: memoryview) -> None:
        """Write to the application what came from the peer."""
        if self.ending is not None:
            return
        if not self.received:
            self.first_byte = trio.current_time()
        count = len(view)
        self.received += count
        if self._backlog:
            self._backlog += view
            return
        try:
            sent = self._send(view)
        except BlockingIOError:
            sent = 0
        except OSError as fault:
            self._broken(fault)
            return
        if sent:
            self._state.took(sent)
        if sent < count:
            self._backlog += view[sent:]
            self._watch.want(self._watch.events | OUT)

    def ended(self) -> None:
        """The peer sends no more."""
        if self.ending is None and not self._backlog:
            self._shut()

    def was_reset(self, code: int) -> None:
        """The stream is gone; after the peer's orderly end its data still reaches the application."""
        if self.ending is not None:
            return
        if self._state.remote_ended and code == ErrorCode.NO_ERROR:
            self._deaf = True
            self._watch.want(self._watch.events & ~IN | FAULT)
            self._finish_if_over()
            return
        self._drop()
        violation = self._connection.violation
        if violation is not None:
            self._finish("closed", str(violation))
        else:
            self._finish("reset", f"the peer: {code_name(code)}")

    def may_send(self) -> None:
        """There is credit again."""
        if self.ending is None and not self._deaf:
            self._watch.want(self._watch.events | IN)
