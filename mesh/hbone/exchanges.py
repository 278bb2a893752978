"""CONNECTs, their answers and their resets: HEADERS, CONTINUATION and RST_STREAM of an HBONE connection."""

from __future__ import annotations

from collections.abc import Iterable

from mesh.hbone import fields, frames
from mesh.hbone.conversation import Conversation
from mesh.hbone.fields import Connect, Malformed
from mesh.hbone.frames import ErrorCode
from mesh.hbone.limits import Limits
from mesh.hbone.literals import Field
from mesh.hbone.owner import Owner
from mesh.hbone.stream import StreamState
from mesh.hbone.violation import Violation, broken


class Exchanges(Conversation):
    """A connection whose streams come and go."""

    def __init__(self, owner: Owner, *, client: bool, limits: Limits | None = None) -> None:
        super().__init__(owner, client=client, limits=limits)
        self._handlers |= {
            frames.HEADERS: self._on_headers,
            frames.CONTINUATION: self._on_continuation,
            frames.RST_STREAM: self._on_rst_stream,
        }

    def open(self, authority: str, headers: Iterable[Field]) -> StreamState:
        """Client: send a CONNECT. Ask `can_open` first. Raises ValueError for an authority that is not ASCII."""
        block = self._peer.table_notice() + fields.encode_connect(authority, headers)
        self._highest += 2
        stream = StreamState(self, self._highest, self._peer.window, self.limits.stream_window)
        self.streams[stream.id] = stream
        self.put(frames.headers(stream.id, block, end_stream=False, max_frame=self._peer.max_frame))
        return stream

    def put_answer(self, stream: StreamState, status: int, headers: Iterable[Field], *, end: bool) -> None:
        """Send a response head."""
        self._just_answered.add(stream.id)
        block = self._peer.table_notice() + fields.encode_answer(status, headers)
        self.put(frames.headers(stream.id, block, end_stream=end, max_frame=self._peer.max_frame))

    def put_reset(self, stream: StreamState, code: int) -> None:
        """Send RST_STREAM and forget the stream."""
        self._reset(stream.id, code)
        self.release(stream)

    def _on_headers(self, flags: int, stream_id: int, payload: memoryview) -> None:
        if not stream_id & 1:
            raise broken(f"HEADERS on stream {stream_id}")
        found = self._block.start(stream_id, flags, payload)
        if found is not None:
            self._on_fields(found)

    def _on_continuation(self, flags: int, stream_id: int, payload: memoryview) -> None:
        self._chore(ErrorCode.ENHANCE_YOUR_CALM, "CONTINUATION")
        found = self._block.carry_on(stream_id, flags, payload)
        if found is not None:
            self._on_fields(found)

    def _on_fields(self, found: list[Field]) -> None:
        stream_id = self._block.stream_id
        stream = self.streams.get(stream_id)
        if stream is not None and self.client and not stream.answered:
            self._on_answer(stream, found)
        elif stream is not None:
            # A connected stream carries DATA only (RFC 9113, section 8.5).
            self._give_up(stream, ErrorCode.PROTOCOL_ERROR)
        elif self.client or stream_id <= self._highest:
            self._overdue(stream_id, "HEADERS")
        else:
            self._highest = stream_id
            self._on_request(stream_id, found)

    def _on_request(self, stream_id: int, found: list[Field]) -> None:
        # The peer has heard nothing of those that ended since it sent what we are reading, so it may not count on that.
        self._just_begun += 1
        if stream_id > self._last_accepted or max(len(self.streams) + 1, self._just_begun) > self.limits.streams:
            self._chore(ErrorCode.ENHANCE_YOUR_CALM, "streams above the limit")
            self._reset(stream_id, ErrorCode.REFUSED_STREAM)
            return
        asked = fields.read_connect(found)
        if isinstance(asked, Malformed):
            self._chore(ErrorCode.PROTOCOL_ERROR, "malformed requests")
            self._reset(stream_id, ErrorCode.PROTOCOL_ERROR)
            self.owner.turned_away(asked.detail)
            return
        stream = StreamState(self, stream_id, self._peer.window, self.limits.stream_window)
        stream.remote_ended = self._block.ends_stream
        self.streams[stream_id] = stream
        if isinstance(asked, Connect):
            self.owner.requested(stream, asked)
        else:
            self._chore(ErrorCode.ENHANCE_YOUR_CALM, "requests that are no CONNECT")
            self.refuse(stream, 400)
            self.owner.turned_away(asked.detail)

    def _on_answer(self, stream: StreamState, found: list[Field]) -> None:
        answer = fields.read_answer(found)
        if isinstance(answer, Malformed):
            self._give_up(stream, ErrorCode.PROTOCOL_ERROR)
        elif answer.status < 200:
            self._chore(ErrorCode.ENHANCE_YOUR_CALM, "interim answers")
        else:
            stream.answered = True
            self.owner.answered(stream, answer)
            if self._block.ends_stream and stream.reset_code is None:
                stream.end_remote()
            if answer.status >= 300:
                stream.reset(ErrorCode.CANCEL)

    def refuse(self, stream: StreamState, status: int, headers: Iterable[Field] = ()) -> None:
        """Server: answer with a status that is no success, and be done with the stream."""
        stream.answer(status, headers, end=True)
        if not stream.closed:
            stream.reset(ErrorCode.NO_ERROR)

    def _on_rst_stream(self, _flags: int, stream_id: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise Violation(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of another size than 4")
        self._check_known(stream_id, "RST_STREAM")
        stream = self.streams.get(stream_id)
        # Who had an answer and then reset its stream had to wait for it, so cannot do so rapidly (CVE-2023-44487).
        if stream is None or not stream.answered or stream_id in self._just_answered:
            self._chore(ErrorCode.ENHANCE_YOUR_CALM, "RST_STREAM")
        if stream is not None:
            stream.lose(int.from_bytes(payload))
