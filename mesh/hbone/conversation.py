"""What two ends of an HBONE connection say about the connection itself: SETTINGS, PING, GOAWAY, WINDOW_UPDATE.

A peer may make us work only as far as its chores go: frames that carry nothing are counted, forgiven at every tick,
and a flood of them is answered by GOAWAY (rapid reset, PING and SETTINGS floods, empty frames; docs/floods.md).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mesh.hbone import frames
from mesh.hbone.block import BlockReader
from mesh.hbone.frames import ErrorCode, Setting
from mesh.hbone.limits import CLIENT, SERVER, Limits
from mesh.hbone.outbox import Outbox
from mesh.hbone.owner import Owner
from mesh.hbone.peer import PeerSettings
from mesh.hbone.stream import StreamState
from mesh.hbone.violation import Violation, broken

_NO_STREAM_REFUSED: Final = frames.STREAM_ID
_RESETS_REMEMBERED: Final = 4096
_SILENT_TICKS: Final = 2
_DRIBBLE: Final = 256
"""Bytes of window, below which opening it by a little makes us frame next to nothing (CVE-2019-9511)."""
_TICK_MARK: Final = b"ambit:hb"
_DRAIN_MARK: Final = b"ambit:go"


class Conversation:
    """The state of a connection. `exchanges.py` adds the CONNECTs, `connection.py` the data."""

    def __init__(self, owner: Owner, *, client: bool, limits: Limits | None = None) -> None:
        self.owner = owner
        self.client = client
        self.limits = limits = limits or (CLIENT if client else SERVER)
        self.streams: dict[int, StreamState] = {}
        self.violation: Violation | None = None
        self.pending = False
        """Whether `output` has something."""
        self.clogged = False
        """Set by the owner while earlier output waits for the peer: nothing is read from sources meanwhile."""
        self._outbox = Outbox(limits.outbox, limits.spill)
        self._starved: dict[int, StreamState] = {}
        self._peer = PeerSettings(serves=client)
        self._credit = frames.DEFAULT_WINDOW
        self._room = limits.connection_window
        self._owed = 0
        self._receiving: StreamState | None = None
        self._left = self._padding = 0
        self._ending = False
        self._block = BlockReader(limits.header_block, limits.header_list)
        self._chores = limits.chores
        self._lately_reset: OrderedDict[int, None] = OrderedDict()
        self._just_answered: set[int] = set()
        self._just_begun = 0
        self._preface_due = not client
        self._settled = self._heard = self._draining = self._peer_draining = False
        self._silent_ticks = 0
        self._last_accepted = _NO_STREAM_REFUSED
        self._highest = -1 if client else 0
        self._handlers: dict[int, Callable[[int, int, memoryview], None]] = {
            frames.PRIORITY: self._on_priority,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
        }
        self._greet()

    # ---- what the owner does

    @property
    def can_open(self) -> bool:
        """Client: whether the peer would take one more stream now."""
        going = self._draining or self._peer_draining or self.violation is not None
        return not going and len(self.streams) < self._peer.streams and self._highest < frames.STREAM_ID - 2

    @property
    def drained(self) -> bool:
        """Whether the last stream has ended of a connection that takes no more."""
        closing = self._peer_draining or (self._draining and self._last_accepted != _NO_STREAM_REFUSED)
        return closing and not self.streams

    def drain(self) -> None:
        """Let streams end and take no new ones (RFC 9113, section 6.8): a server refuses none already under way."""
        if self._draining:
            return
        self._draining = True
        if self.client:
            self._last_accepted = 0
            self.put(frames.goaway(0, ErrorCode.NO_ERROR))
        else:
            self.put(frames.goaway(_NO_STREAM_REFUSED, ErrorCode.NO_ERROR))
            self.put(frames.frame(frames.PING, 0, 0, _DRAIN_MARK))

    def tick(self) -> bool:
        """To be called every keep-alive period: asks the peer for a sign of life and forgives its chores.

        False when the peer has been silent for more than two periods: the connection is dead.
        """
        self._chores = self.limits.chores
        self._silent_ticks = 0 if self._heard else self._silent_ticks + 1
        self._heard = False
        self.put(frames.frame(frames.PING, 0, 0, _TICK_MARK))
        return self._silent_ticks <= _SILENT_TICKS

    def abandon(self, code: int, detail: str) -> None:
        """Give the connection up, with GOAWAY."""
        self._fail(Violation(code, detail))

    def lose(self, detail: str) -> None:
        """The transport is gone."""
        self._fail(Violation(ErrorCode.CONNECT_ERROR, detail, ours=False))

    def feed(self) -> None:
        """Offer the freed outbox to the streams that found no hole. To be called after output was sent."""
        if self._starved and not self.clogged:
            starved, self._starved = self._starved, {}
            for stream in starved.values():
                stream.offer()

    # ---- what streams do

    def put(self, data: bytes) -> None:
        """Append whole frames to the output."""
        if self.violation is not None:
            return
        self._outbox.put(data)
        if not self.pending:
            self.pending = True
            self.owner.output_pending()

    def took(self, count: int) -> None:
        """`count` payload bytes have left us: open the connection's window again, in large steps."""
        self._owed += count
        if self._owed >= self.limits.connection_step:
            self.put(frames.window_update(0, self._owed))
            self._room += self._owed
            self._owed = 0

    def release(self, stream: StreamState) -> None:
        """Forget a stream that is over; one that was not cut short earns the peer a chore."""
        if self.streams.pop(stream.id, None) is None:
            return
        self._starved.pop(stream.id, None)
        if stream.reset_code is not None:
            self.took(stream.forgo())
        else:
            self._chores = min(self._chores + 1, self.limits.chores)
        if not self.streams and self.violation is None:
            self.owner.emptied()

    # ---- what the peer says

    def _greet(self) -> None:
        limits = self.limits
        announced = {
            Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
            Setting.MAX_FRAME_SIZE: limits.max_frame,
            Setting.MAX_HEADER_LIST_SIZE: limits.header_list,
        }
        if self.client:
            self._outbox.put(frames.PREFACE)
            announced[Setting.ENABLE_PUSH] = 0
        else:
            announced[Setting.MAX_CONCURRENT_STREAMS] = limits.streams
        self._outbox.put(frames.settings(announced))
        self._outbox.put(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))
        self.pending = True

    def _check_order(self, kind: int) -> None:
        if not self._settled and kind != frames.SETTINGS:
            raise broken("the first frame is not SETTINGS")
        if self._block.unfinished and kind != frames.CONTINUATION:
            raise broken("a header block is interrupted")

    def _check_known(self, stream_id: int, what: str) -> None:
        if not stream_id or not stream_id & 1 or stream_id > self._highest:
            raise broken(f"{what} on stream {stream_id}, which nobody opened")

    def _overdue(self, stream_id: int, what: str) -> None:
        """A frame for a stream that is over: no fault while it may have been under way when we reset the stream."""
        self._check_known(stream_id, what)
        if stream_id not in self._lately_reset:
            self._chore(ErrorCode.STREAM_CLOSED, f"{what} on streams that are over")

    def _converse(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        handle = self._handlers.get(kind)
        if handle is None:
            self._chore(ErrorCode.ENHANCE_YOUR_CALM, "frames of unknown types")
        else:
            handle(flags, stream_id, payload)

    def _on_settings(self, flags: int, stream_id: int, payload: memoryview) -> None:
        if stream_id:
            raise broken("SETTINGS on a stream")
        self._chore(ErrorCode.ENHANCE_YOUR_CALM, "SETTINGS")
        if flags & frames.ACK:
            if payload or not self._settled:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS that is none")
            return
        change = self._peer.apply(payload)
        if change:
            for stream in list(self.streams.values()):
                self._widen(stream, change)
        self.put(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if not self._settled:
            self._settled = True
            self.owner.settled()

    def _widen(self, stream: StreamState, change: int) -> None:
        stream.credit += change
        if stream.credit > frames.LARGEST_WINDOW:
            raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflows")
        if stream.id in self._starved and stream.credit > 0:
            del self._starved[stream.id]
            stream.offer()

    def _on_window_update(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of another size than 4")
        change = int.from_bytes(payload) & frames.LARGEST_WINDOW
        if stream_id == 0:
            self._credit += change
            if not change or self._credit > frames.LARGEST_WINDOW:
                raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window grows by nothing or too much")
            self._check_dribble(self._credit)
            self.feed()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id, "WINDOW_UPDATE")
        elif not change or stream.credit + change > frames.LARGEST_WINDOW:
            self._give_up(stream, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            self._check_dribble(stream.credit + change)
            self._widen(stream, change)

    def _check_dribble(self, credit: int) -> None:
        if credit < _DRIBBLE:
            self._chore(ErrorCode.ENHANCE_YOUR_CALM, "windows of a few bytes")

    def _on_priority(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        if not stream_id or len(payload) != 5:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY that is none")
        self._chore(ErrorCode.ENHANCE_YOUR_CALM, "PRIORITY")

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: memoryview) -> None:
        raise broken("PUSH_PROMISE, which nobody may send here")

    def _on_ping(self, flags: int, stream_id: int, payload: memoryview) -> None:
        if stream_id or len(payload) != 8:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "PING that is none")
        if not flags & frames.ACK:
            self._chore(ErrorCode.ENHANCE_YOUR_CALM, "PING")
            self.put(frames.frame(frames.PING, frames.ACK, 0, bytes(payload)))
        elif self._draining and bytes(payload) == _DRAIN_MARK and self._last_accepted == _NO_STREAM_REFUSED:
            self._last_accepted = self._highest
            self.put(frames.goaway(self._highest, ErrorCode.NO_ERROR))
            if not self.streams:
                self.owner.emptied()

    def _on_goaway(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        if stream_id or len(payload) < 8:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY that is none")
        self._chore(ErrorCode.ENHANCE_YOUR_CALM, "GOAWAY")
        last, code, detail = frames.read_goaway(payload)
        if code != ErrorCode.NO_ERROR:
            raise Violation(code, f"the peer gave up: {detail[:200].decode(errors='replace')}", ours=False)
        if not self._peer_draining:
            self._peer_draining = True
            self.owner.going_away()
        if self.client:
            for stream in [stream for stream in self.streams.values() if stream.id > last]:
                stream.lose(ErrorCode.REFUSED_STREAM)

    # ---- shared by all frames

    def _chore(self, code: int, what: str) -> None:
        self._chores -= 1
        if self._chores < 0:
            raise Violation(code, f"a flood of {what}")

    def _reset(self, stream_id: int, code: int) -> None:
        self.put(frames.rst_stream(stream_id, code))
        self._lately_reset[stream_id] = None
        if len(self._lately_reset) > _RESETS_REMEMBERED:
            self._lately_reset.popitem(last=False)

    def _give_up(self, stream: StreamState, code: int) -> None:
        """Reset a stream for what the peer did on it, and tell its sink. A chore, as its resets are (CVE-2025-8671)."""
        self._chore(ErrorCode.ENHANCE_YOUR_CALM, "streams that had to be reset")
        self._reset(stream.id, code)
        stream.lose(code)

    def _fail(self, violation: Violation) -> None:
        if self.violation is not None:
            return
        if violation.ours:
            last = 0 if self.client else self._highest
            self._outbox.put(frames.goaway(last, violation.code, violation.detail.encode()))
            self.pending = True
        self.violation = violation
        for stream in list(self.streams.values()):
            stream.lose(violation.code)
        self._starved.clear()
        self.owner.failed(violation)
