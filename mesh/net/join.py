"""Two plain sockets joined in the relay: traffic that no tunnel carries."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from mesh.net.flow import Flow, close_with_reset, fault_of, prepare
from mesh.net.relay import FAULT, IN, OUT

if TYPE_CHECKING:
    from mesh.net.relay import Relay, Watch


class _Side:
    """One socket: what it is watched for, and what waits to be written to it."""

    __slots__ = ("backlog", "ended", "recv_into", "send", "sock", "watch")

    def __init__(self, sock: socket.socket) -> None:
        prepare(sock)
        self.sock = sock
        self.send = sock.send
        self.recv_into = sock.recv_into
        self.backlog = bytearray()
        self.ended = False
        """It has sent its last byte."""
        self.watch: Watch


class Join(Flow):
    """Copies both ways. A side is read only while the other has taken everything: a backlog is at most one read."""

    __slots__ = ("_left", "_right")

    def __init__(self, relay: Relay, left: socket.socket, right: socket.socket) -> None:
        super().__init__(relay)
        self._left, self._right = _Side(left), _Side(right)
        self._left.watch = relay.watch(left.fileno(), self._left_ready)
        self._right.watch = relay.watch(right.fileno(), self._right_ready)
        self._left.watch.want(IN)
        self._right.watch.want(IN)

    def abort(self) -> None:
        """End it now, with resets both ways."""
        if self.ending is None:
            self._drop()
            self._finish("aborted")

    def _left_ready(self, events: int) -> None:
        if events & OUT:
            self._drain(self._right, self._left)
        if events & ~OUT and self.ending is None and self._readable(self._left):
            self.sent += self._copy(self._left, self._right)

    def _right_ready(self, events: int) -> None:
        if events & OUT:
            self._drain(self._left, self._right)
        if events & ~OUT and self.ending is None and self._readable(self._right):
            count = self._copy(self._right, self._left)
            if count and not self.received:
                self.first_byte = trio.current_time()
            self.received += count

    def _readable(self, side: _Side) -> bool:
        """Whether the side is read now; where it is not, an event can only be a fault."""
        if side.watch.events & IN:
            return True
        fault = fault_of(side.sock)
        if fault is not None:
            self._broken(fault)
        return False

    def _copy(self, source: _Side, sink: _Side) -> int:
        """Move one read's worth; returns how much was read."""
        if sink.backlog:
            return 0
        scratch = self.relay.plaintext
        try:
            count = source.recv_into(scratch)
        except BlockingIOError:
            return 0
        except OSError as fault:
            self._broken(fault)
            return 0
        if not count:
            source.ended = True
            source.watch.want(source.watch.events & ~IN | FAULT)
            self._shut(source, sink)
            return 0
        try:
            sent = sink.send(scratch[:count])
        except BlockingIOError:
            sent = 0
        except OSError as fault:
            self._broken(fault)
            return count
        if sent < count:
            sink.backlog += scratch[sent:count]
            sink.watch.want(sink.watch.events | OUT)
            source.watch.want(source.watch.events & ~IN | FAULT)
        return count

    def _drain(self, source: _Side, sink: _Side) -> None:
        try:
            count = sink.send(sink.backlog)
        except BlockingIOError:
            return
        except OSError as fault:
            self._broken(fault)
            return
        del sink.backlog[:count]
        if sink.backlog:
            return
        sink.watch.want(sink.watch.events & ~OUT | FAULT)
        if source.ended:
            self._shut(source, sink)
        else:
            source.watch.want(source.watch.events | IN)

    def _shut(self, source: _Side, sink: _Side) -> None:
        """Pass the source's end on, behind all its bytes."""
        if sink.backlog:
            return
        try:
            sink.sock.shutdown(socket.SHUT_WR)
        except OSError as fault:
            self._broken(fault)
            return
        if source.ended and sink.ended and not source.backlog:
            for side in (self._left, self._right):
                side.watch.want(0)
                side.sock.close()
            self._finish("fin")

    def _broken(self, fault: OSError) -> None:
        self._drop()
        self._finish("reset", fault.strerror or str(fault))

    def _drop(self) -> None:
        for side in (self._left, self._right):
            side.watch.want(0)
            close_with_reset(side.sock)
