"""An HBONE connection, either end, without I/O: its data, its windows, its streams.

The owner brings decrypted bytes to `receive` and carries away `output`. Payload passes from `receive` to the streams'
sinks as memoryviews, and from sources into `hole`s of the outbox: nothing is copied here. What happens is told by
calls, in the order in which it happened. The frames that carry no data are in
`conversation.py` (of the connection) and `exchanges.py` (of streams).
"""

from __future__ import annotations

from typing import Final

from mesh.hbone import frames
from mesh.hbone.exchanges import Exchanges
from mesh.hbone.frames import HEAD, HEAD_SIZE, ErrorCode
from mesh.hbone.stream import StreamState
from mesh.hbone.violation import Violation, broken

_head: Final = HEAD.unpack_from


class Connection(Exchanges):
    """One end. Every method is for its owner, its streams and their sinks, all in one thread."""

    # ---- what the owner does

    def output(self) -> memoryview:
        """All that is to be sent, as one piece that is valid until the next call of anything here."""
        self.pending = False
        return self._outbox.empty()

    def cut(self, detail: str, *, torn: bool) -> None:
        """The peer's bytes have ended; `torn` says that some of them were not consumed: an unfinished frame."""
        if torn or self._left or self._padding:
            self.abandon(ErrorCode.PROTOCOL_ERROR, f"{detail} in the middle of a frame")
        else:
            self.lose(detail)

    # ---- what sources of bytes do

    @property
    def space(self) -> int:
        """Payload bytes that fit into the outbox before it is carried away."""
        return self._outbox.space

    def hole(self, stream: StreamState, at_most: int) -> memoryview | None:
        """Where up to `at_most` bytes for `stream` may be put now; then call `fill`. None: wait for `Sink.may_send`."""
        size = min(at_most, stream.credit, self._credit, self._peer.max_frame, self._outbox.space)
        if size <= 0 or self.clogged:
            self._starved[stream.id] = stream
            return None
        return self._outbox.hole(size)

    def fill(self, stream: StreamState, count: int) -> None:
        """Frame the `count` bytes that were put into the hole."""
        self._outbox.fill(stream.id, count)
        stream.credit -= count
        self._credit -= count
        if not self.pending:
            self.pending = True
            self.owner.output_pending()

    # ---- what the peer says

    def receive(self, view: memoryview) -> int:
        """Handle what came; the bytes not counted in the result are to come again, in front of the next ones.

        Nothing that a peer can send raises: a violation ends the connection and is told to the owner.
        """
        if self.violation is not None:
            return len(view)
        self._heard = True
        self._just_begun = 0
        if self._just_answered:
            self._just_answered.clear()
        position, end = 0, len(view)
        if self._outbox.overflowing:
            self.abandon(ErrorCode.ENHANCE_YOUR_CALM, "the peer makes us write and does not read")
            return end
        try:
            if self._preface_due:
                position = self._preface(view)
            while position < end and self.violation is None:
                if self._left or self._padding:
                    position = self._body(view, position, end)
                    continue
                after = self._frame(view, position, end)
                if after == position:
                    break
                position = after
        except Violation as violation:
            self._fail(violation)
        return position if self.violation is None else end

    def _preface(self, view: memoryview) -> int:
        size = len(frames.PREFACE)
        if frames.PREFACE[: len(view)] != view[:size]:
            raise broken("the peer does not speak HTTP/2")
        if len(view) < size:
            return 0
        self._preface_due = False
        return size

    def _frame(self, view: memoryview, position: int, end: int) -> int:
        """Handle the frame at `position`; return the position behind it, or `position` itself when more must come."""
        if self._preface_due or end - position < HEAD_SIZE:
            return position
        word: int
        word, flags, stream_id = _head(view, position)
        length, kind, stream_id = word >> 8, word & 0xFF, stream_id & frames.STREAM_ID
        if length > self.limits.max_frame:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
        self._check_order(kind)
        body = position + HEAD_SIZE
        if kind == frames.DATA:
            if flags & frames.PADDED and length and body == end:
                return position
            return self._data(view, body, length, flags, stream_id)
        if length > self.limits.header_block:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, f"{length} bytes in a frame that carries no data")
        if body + length > end:
            return position
        self._converse(kind, flags, stream_id, view[body : body + length])
        return body + length

    def _data(self, view: memoryview, position: int, length: int, flags: int, stream_id: int) -> int:
        self._room -= length
        if self._room < 0:
            raise Violation(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")
        stream = self._receiver(stream_id, length, flags)
        if flags & frames.PADDED:
            position, length = self._padded(view, position, length, stream)
        elif length <= len(view) - position:
            if stream is not None:
                if length:
                    stream.deliver(view[position : position + length])
                if flags & frames.END_STREAM and stream.reset_code is None:
                    stream.end_remote()
            return position + length
        self._receiving, self._left, self._ending = stream, length, bool(flags & frames.END_STREAM)
        return self._body(view, position, len(view))

    def _receiver(self, stream_id: int, length: int, flags: int) -> StreamState | None:
        """The stream that a DATA frame is for; None when there is none any more and the bytes only count."""
        stream = self.streams.get(stream_id)
        if stream is None:
            self._overdue(stream_id, "DATA")
        elif stream.remote_ended:
            raise Violation(ErrorCode.STREAM_CLOSED, "DATA behind END_STREAM")
        elif not stream.charge(length):
            self._give_up(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return None
        else:
            if not length and not flags & frames.END_STREAM:
                self._chore(ErrorCode.ENHANCE_YOUR_CALM, "empty DATA")
            return stream
        self.took(length)
        return None

    def _padded(self, view: memoryview, position: int, length: int, stream: StreamState | None) -> tuple[int, int]:
        """Read the length of the padding: where the payload begins, and how long it is."""
        if not length or view[position] >= length:
            raise broken("padding longer than its frame")
        self._padding = view[position]
        if stream is not None:
            stream.took(1 + self._padding)
        return position + 1, length - 1 - self._padding

    def _body(self, view: memoryview, position: int, end: int) -> int:
        """Go on with a DATA frame that did not come in one piece, or is padded."""
        stream = self._receiving
        step = min(self._left, end - position)
        if step:
            self._left -= step
            if stream is not None:
                stream.deliver(view[position : position + step])
            position += step
        if not self._left:
            skip = min(self._padding, end - position)
            self._padding -= skip
            position += skip
            if not self._padding and stream is not None:
                self._receiving = None
                if self._ending and stream.reset_code is None:
                    stream.end_remote()
        return position
