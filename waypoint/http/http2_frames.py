"""The frames of an HTTP/2 connection (RFC 9113, sections 4 to 6), either end: those of the connection are dealt with
here, those of streams are passed on to `http2.py`, which says what they mean.

A breach of the protocol raises `Violation` and ends the connection. What costs us work and carries nothing is a chore:
every read forgives some, and a peer that gives more is asked to calm down.
"""

from __future__ import annotations

from typing import Final

from mesh.hbone import frames
from mesh.hbone.frames import HEAD, HEAD_SIZE, ErrorCode, Setting
from mesh.hbone.peer import PeerSettings
from mesh.hbone.violation import Violation, broken
from waypoint.http import hpack
from waypoint.http.events import MAX_HEAD, Event
from waypoint.http.hpack import Decoder, Section

STREAMS: Final = 100
"""Requests that one connection may carry at a time."""
STREAM_WINDOW: Final = 512 * 1024
CONNECTION_WINDOW: Final = 4 * 1024 * 1024
"""Body bytes of one connection that may wait here, all streams together."""
MAX_FRAME: Final = 64 * 1024
_LONGEST_BLOCK: Final = 4 * MAX_HEAD
"""Bigger heads than we announce are read to their end, so that they can be answered with 431."""
_CHORES: Final = 2000
_FORGIVEN: Final = 50
_DRIBBLE: Final = 256
"""Bytes of window, below which opening it by a little makes us frame next to nothing (CVE-2019-9511)."""

_unpack: Final = HEAD.unpack_from

Told = list[tuple[int, Event]]


class Stream:
    """One request and its answer as the connection accounts for them."""

    __slots__ = ("answered", "credit", "expected", "id", "inward", "outward", "owed", "room", "unpaid")

    def __init__(self, stream: int, credit: int) -> None:
        self.id = stream
        self.credit = credit
        """Bytes that the peer lets us send."""
        self.room = STREAM_WINDOW
        """Bytes that we let the peer send."""
        self.owed = 0
        """Of these, used and credited to us, and not yet given back."""
        self.inward = self.outward = True
        """Whether the peer goes on, and whether we do."""
        self.answered = False
        self.expected: int | None = None
        """Bytes of content that are still announced."""


class Frames:
    """Bytes in, bytes out; what streams say is told by the methods at the end."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._out: list[bytes] = []
        self._tail = b""
        self._streams: dict[int, Stream] = {}
        self._peer = PeerSettings(serves=client)
        self._decoder = Decoder(_LONGEST_BLOCK)
        self._credit = frames.DEFAULT_WINDOW
        self._room = CONNECTION_WINDOW
        self._owed = 0
        self._preface_due = not client
        self._settled = False
        self._block: bytearray | None = None
        self._block_stream = self._block_flags = 0
        self._chores = _CHORES
        self._greet()

    def take(self) -> bytes:
        """See `Codec`."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def credit(self, stream: int, cost: int) -> None:
        """See `Codec`."""
        self._owed += cost
        if self._owed >= CONNECTION_WINDOW // 4:
            self._out.append(frames.window_update(0, self._owed))
            self._room += self._owed
            self._owed = 0
        one = self._streams.get(stream)
        if one is not None and one.inward:
            one.owed += cost
            if one.owed >= STREAM_WINDOW // 4:
                self._out.append(frames.window_update(stream, one.owed))
                one.room += one.owed
                one.owed = 0

    def _greet(self) -> None:
        announced = {
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_FRAME_SIZE: MAX_FRAME,
            Setting.MAX_HEADER_LIST_SIZE: MAX_HEAD,
        }
        if not self._client:
            announced[Setting.MAX_CONCURRENT_STREAMS] = STREAMS
        preface = frames.PREFACE if self._client else b""
        window = frames.window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW)
        self._out.append(preface + frames.settings(announced) + window)

    def _read(self, data: bytes, told: Told) -> None:
        """Deal with every frame that is whole; the rest waits for what follows it. Raises Violation."""
        if self._tail:
            data = self._tail + data
        self._chores = min(_CHORES, self._chores + _FORGIVEN)
        at, end = 0, len(data)
        if self._preface_due:
            at = self._preface(data)
        while end - at >= HEAD_SIZE and not self._preface_due:
            word, flags, stream = _unpack(data, at)
            length, stream = word >> 8, stream & frames.STREAM_ID
            if length > MAX_FRAME:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            after = at + HEAD_SIZE + length
            if after > end:
                break
            self._frame(word & 0xFF, flags, stream, data[at + HEAD_SIZE : after], told)
            at = after
        self._tail = data[at:]

    def _preface(self, data: bytes) -> int:
        size = len(frames.PREFACE)
        if frames.PREFACE[: len(data)] != data[:size]:
            raise broken("the peer does not speak HTTP/2")
        if len(data) < size:
            return 0
        self._preface_due = False
        return size

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, told: Told) -> None:
        if not self._settled and kind != frames.SETTINGS:
            raise broken("the first frame is not SETTINGS")
        if self._block is not None and kind != frames.CONTINUATION:
            raise broken("a header block is interrupted")
        if kind == frames.DATA:
            self._data(flags, stream, payload, told)
        elif kind == frames.HEADERS:
            self._headers(flags, stream, payload, told)
        elif kind == frames.CONTINUATION:
            self._continuation(flags, stream, payload, told)
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(stream, payload, told)
        elif kind == frames.RST_STREAM:
            self._rst_stream(stream, payload, told)
        elif kind == frames.GOAWAY:
            self._goaway(stream, payload, told)
        else:
            self._chore()
            self._aside(kind, flags, stream, payload)

    def _aside(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """What concerns no message."""
        if kind == frames.SETTINGS:
            self._settings(flags, stream, payload)
        elif kind == frames.PING:
            if stream or len(payload) != 8:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "PING that is none")
            if not flags & frames.ACK:
                self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.PRIORITY:
            if not stream or len(payload) != 5:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY that is none")
        elif kind == frames.PUSH_PROMISE:
            raise broken("PUSH_PROMISE, which nobody may send here")

    def _chore(self) -> None:
        self._chores -= 1
        if self._chores < 0:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, "a flood of frames that carry nothing")

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise broken("SETTINGS on a stream")
        if flags & frames.ACK:
            if payload or not self._settled:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS that is none")
            return
        change = self._peer.apply(memoryview(payload))
        for one in self._streams.values():
            one.credit += change
            if one.credit > frames.LARGEST_WINDOW:
                raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflows")
        self._settled = True
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _window_update(self, stream: int, payload: bytes, told: Told) -> None:
        if len(payload) != 4:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of another size than 4")
        change = int.from_bytes(payload) & frames.LARGEST_WINDOW
        if not stream:
            self._credit += change
            if not change or self._credit > frames.LARGEST_WINDOW:
                raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window grows by nothing or too much")
            if self._credit < _DRIBBLE:
                self._chore()
            return
        one = self._live(stream, "WINDOW_UPDATE")
        if one is None:
            return
        if not change or one.credit + change > frames.LARGEST_WINDOW:
            self._give_up(one, ErrorCode.FLOW_CONTROL_ERROR, "a window that grows by nothing or too much", told)
        else:
            one.credit += change
            if one.credit < _DRIBBLE:
                self._chore()

    def _data(self, flags: int, stream: int, payload: bytes, told: Told) -> None:
        cost = len(payload)
        self._room -= cost
        if self._room < 0:
            raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")
        if flags & frames.PADDED:
            if not payload or payload[0] >= cost:
                raise broken("padding longer than its frame")
            payload = payload[1 : cost - payload[0]]
        if not payload and not flags & frames.END_STREAM:
            self._chore()
        one = self._live(stream, "DATA")
        if one is None or not one.inward:
            self.credit(0, cost)
            return
        one.room -= cost
        if one.room < 0:
            self._give_up(one, ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window", told)
            self.credit(0, cost)
            return
        self._content(one, payload, cost, ends=bool(flags & frames.END_STREAM), told=told)

    def _headers(self, flags: int, stream: int, payload: bytes, told: Told) -> None:
        if not stream or not stream & 1:
            raise broken(f"HEADERS on stream {stream}")
        if flags & frames.PADDED:
            if not payload or payload[0] >= len(payload):
                raise broken("padding longer than its frame")
            payload = payload[1 : len(payload) - payload[0]]
        if flags & frames.PRIORITIZED:
            if len(payload) < 5:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._head(stream, self._decoded(payload), ends=bool(flags & frames.END_STREAM), told=told)
        else:
            self._block, self._block_stream, self._block_flags = bytearray(payload), stream, flags

    def _continuation(self, flags: int, stream: int, payload: bytes, told: Told) -> None:
        block = self._block
        if block is None or stream != self._block_stream:
            raise broken("CONTINUATION of nothing")
        self._chore()
        block += payload
        if len(block) > _LONGEST_BLOCK:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, f"a header block above {_LONGEST_BLOCK} bytes")
        if flags & frames.END_HEADERS:
            self._block = None
            ends = bool(self._block_flags & frames.END_STREAM)
            self._head(stream, self._decoded(bytes(block)), ends=ends, told=told)

    def _decoded(self, block: bytes) -> Section:
        try:
            return self._decoder.decode(block)
        except hpack.TooLong as fault:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, str(fault)) from None
        except hpack.Unreadable as fault:
            raise Violation(ErrorCode.COMPRESSION_ERROR, str(fault)) from None

    def _rst_stream(self, stream: int, payload: bytes, told: Told) -> None:
        if len(payload) != 4:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of another size than 4")
        one = self._live(stream, "RST_STREAM")
        if one is None:
            self._chore()
        else:
            self._was_reset(one, int.from_bytes(payload), told)

    def _goaway(self, stream: int, payload: bytes, told: Told) -> None:
        if stream or len(payload) < 8:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY that is none")
        self._chore()
        last, code, _ = frames.read_goaway(memoryview(payload))
        self._going_away(last, code, told)

    # ---- what streams say

    def _live(self, stream: int, what: str) -> Stream | None:
        """The stream, or None when it is over. Raises Violation for one that never was."""
        raise NotImplementedError

    def _head(self, stream: int, section: Section, *, ends: bool, told: Told) -> None:
        raise NotImplementedError

    def _content(self, stream: Stream, data: bytes, cost: int, *, ends: bool, told: Told) -> None:
        raise NotImplementedError

    def _was_reset(self, stream: Stream, code: int, told: Told) -> None:
        raise NotImplementedError

    def _going_away(self, last: int, code: int, told: Told) -> None:
        raise NotImplementedError

    def _give_up(self, stream: Stream, code: int, why: str, told: Told) -> None:
        """Reset a stream for what the peer did on it."""
        raise NotImplementedError
