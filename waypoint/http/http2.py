"""A connection that speaks HTTP/2 (RFC 9113), either end, as a state machine: messages on streams.

Frames and windows are in `http2_frames.py`, the fields in `fields2.py`. Every fault of one message is that message's:
a request that is none is answered 4xx, a response that is none resets its stream, and the others go on.
"""

from __future__ import annotations

from typing import Final

from mesh.hbone import frames
from mesh.hbone.frames import HEAD, code_name
from mesh.hbone.violation import Violation
from waypoint.http import fields2, hpack
from waypoint.http.events import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Body,
    End,
    Event,
    Headers,
    Interim,
    RequestHead,
    Reset,
    ResponseHead,
    Trailers,
    value,
)
from waypoint.http.head import Fault
from waypoint.http.hpack import Section
from waypoint.http.http2_frames import STREAMS, Frames, Stream, Told

IMPATIENCE: Final = 1000
"""Requests that a caller may cancel unanswered (CVE-2023-44487), or have us reset for its faults (CVE-2025-8671),
beyond those it let finish, before it is asked to calm down."""

_END: Final = End()
_pack: Final = HEAD.pack


class Http2(Frames):
    """One connection. Frames of the stream after its end, ours or the peer's, are passed over."""

    def __init__(self, *, client: bool) -> None:
        super().__init__(client=client)
        self._highest = -1 if client else 0
        self._accepted = 0
        """The last stream of the peer's that was not refused."""
        self._draining = False
        self._closed = False
        self._impatience = 0
        self._fault = ""
        self._behind = (0, 0)
        """The stream whose DATA was put out last, and how long the output was then: while nothing has followed, the
        stream's end can be said there."""

    @property
    def hungry(self) -> bool:
        """See `Codec`. The windows bound what can arrive."""
        return True

    @property
    def usable(self) -> bool:
        """See `Codec`."""
        return not (self._closed or self._draining)

    @property
    def over(self) -> bool:
        """See `Codec`."""
        return self._closed or (self._draining and not self._streams)

    @property
    def due(self) -> bool:
        """See `Codec`."""
        return bool(self._out) or self.over

    @property
    def aborted(self) -> bool:
        """See `Codec`. HTTP/2 marks every whole message, so that a torn one shows."""
        return False

    @property
    def fault(self) -> str:
        """See `Codec`."""
        return self._fault

    def resume(self) -> Told:
        """See `Codec`. Nothing ever waits for an answer."""
        return []

    def room(self, stream: int) -> int:
        """See `Codec`."""
        one = self._streams.get(stream)
        if one is None or not one.outward:
            return 0
        return max(0, min(one.credit, self._credit))

    def take(self) -> bytes:
        """See `Codec`."""
        self._behind = 0, 0
        return super().take()

    def begin(self, request: RequestHead) -> int | None:
        """See `Codec`."""
        if not self.usable or len(self._streams) >= min(self._peer.streams, STREAMS):
            return None
        if self._highest >= frames.STREAM_ID - 2:
            return None
        self._highest += 2
        one = self._streams[self._highest] = Stream(self._highest, self._peer.window)
        if request.method == b"HEAD":
            one.expected = -1
        self._say_head(one, fields2.print_request(request), ends=request.ends)
        return one.id

    def drain(self) -> None:
        """See `Codec`."""
        if not self._draining and not self._closed:
            self._draining = True
            if not self._client:
                self._out.append(frames.goaway(self._accepted, NO_ERROR))

    def send(self, stream: int, event: Event) -> None:
        """See `Codec`."""
        one = self._streams.get(stream)
        if one is None:
            return
        if isinstance(event, Reset):
            self._reset(one, event.code)
        elif one.outward:
            self._say(one, event)

    def receive(self, data: bytes) -> Told:
        """See `Codec`."""
        told: Told = []
        if self._closed:
            return told
        if not data:
            self._close("the peer closed the connection", told)
            return told
        try:
            self._read(data, told)
        except Violation as fault:
            self._close(f"the peer broke the protocol: {fault.detail}", told, fault.code)
        return told

    # ---- what we say

    def _say(self, one: Stream, event: Event) -> None:
        if isinstance(event, Body):
            self._data_out(one, event.data)
        elif isinstance(event, End):
            self._end_out(one)
        elif isinstance(event, ResponseHead):
            one.answered = True
            self._say_head(one, fields2.print_response(event.status, event.headers), ends=event.ends)
        elif isinstance(event, Interim):
            self._say_head(one, fields2.print_response(event.status, event.headers), ends=False)
        elif isinstance(event, Trailers):
            self._say_head(one, event.headers, ends=True)

    def _say_head(self, one: Stream, fields: Headers, *, ends: bool) -> None:
        try:
            block = self._peer.table_notice() + hpack.encode(fields)
        except ValueError:
            # A field that HTTP/2 cannot carry came by way of a filter, say: only this message is lost.
            self._reset(one, INTERNAL_ERROR)
            return
        size = len(block)
        if size <= self._peer.max_frame:
            flags = frames.END_HEADERS | ends
            self._out.append(_pack(size << 8 | frames.HEADERS, flags, one.id) + block)
        else:
            self._out.append(frames.headers(one.id, block, end_stream=ends, max_frame=self._peer.max_frame))
        if ends:
            self._said_all(one)

    def _data_out(self, one: Stream, data: bytes) -> None:
        size, step = len(data), self._peer.max_frame
        one.credit -= size
        self._credit -= size
        out = self._out
        if size <= step:
            out.append(_pack(size << 8, 0, one.id))
            out.append(data)
        else:
            for start in range(0, size, step):
                piece = data[start : start + step]
                out.append(_pack(len(piece) << 8, 0, one.id))
                out.append(piece)
        if size:
            self._behind = one.id, len(out)

    def _end_out(self, one: Stream) -> None:
        out = self._out
        if out and self._behind == (one.id, len(out)):
            out[-2] = _pack(len(out[-1]) << 8, frames.END_STREAM, one.id)
        else:
            out.append(_pack(0, frames.END_STREAM, one.id))
        self._said_all(one)

    def _said_all(self, one: Stream) -> None:
        """An answer that is complete ends the request as well."""
        one.outward = False
        if not one.inward:
            self._finish(one)
        elif not self._client:
            # The caller may still be sending what nobody will read (RFC 9113, section 8.1).
            self._reset(one, NO_ERROR)

    def _finish(self, one: Stream) -> None:
        del self._streams[one.id]
        if self._impatience:
            self._impatience -= 1

    def _reset(self, one: Stream, code: int) -> None:
        del self._streams[one.id]
        self._out.append(frames.rst_stream(one.id, code))

    # ---- what the peer says (Frames)

    def _live(self, stream: int, what: str) -> Stream | None:
        one = self._streams.get(stream)
        if one is None and (not stream & 1 or stream > self._highest):
            raise Violation(PROTOCOL_ERROR, f"{what} on stream {stream}, which nobody opened")
        return one

    def _head(self, stream: int, section: Section, *, ends: bool, told: Told) -> None:
        one = self._streams.get(stream)
        if one is not None and one.inward:
            self._message(one, section, ends=ends, told=told)
        elif one is not None or self._client or stream <= self._highest:
            self._live(stream, "HEADERS")
            self._chore()
        else:
            self._request(stream, section, ends=ends, told=told)

    def _request(self, stream: int, section: Section, *, ends: bool, told: Told) -> None:
        self._highest = stream
        if self._draining or len(self._streams) >= STREAMS:
            self._chore()
            self._out.append(frames.rst_stream(stream, REFUSED_STREAM))
            return
        self._accepted = stream
        one = self._streams[stream] = Stream(stream, self._peer.window)
        event = section.meaning
        if not (isinstance(event, RequestHead) and event.ends is ends):
            event = section.meaning = fields2.read_request(section.fields, ends=ends)
        told.append((stream, event))
        if isinstance(event, RequestHead):
            one.expected = _length(event.headers)
            if ends:
                self._heard_all(one, told)
        else:
            one.inward = not ends

    def _message(self, one: Stream, section: Section, *, ends: bool, told: Told) -> None:
        """A response's head, or the trailers of either."""
        event: Interim | ResponseHead | Trailers | Fault
        if not self._client or one.answered:
            event = fields2.read_trailers(section.fields) if ends else Fault(400, "a second head")
        else:
            event = self._response(section, ends=ends)
        if isinstance(event, Fault):
            self._give_up(one, PROTOCOL_ERROR, event.detail, told)
            return
        if isinstance(event, Interim):
            if ends:
                self._give_up(one, PROTOCOL_ERROR, "an interim response that ends the stream", told)
                return
        elif isinstance(event, ResponseHead):
            one.answered = True
            bodiless = one.expected == -1 or event.status in {204, 304}
            one.expected = None if bodiless else _length(event.headers)
        told.append((one.id, event))
        if ends:
            self._heard_all(one, told)

    def _response(self, section: Section, *, ends: bool) -> ResponseHead | Interim | Fault:
        known = section.meaning
        if isinstance(known, ResponseHead) and known.ends is ends:
            return known
        event = section.meaning = fields2.read_response(section.fields, ends=ends)
        return event

    def _content(self, stream: Stream, data: bytes, cost: int, *, ends: bool, told: Told) -> None:
        if self._client and not stream.answered:
            self._give_up(stream, PROTOCOL_ERROR, "content in front of the response's head", told)
            self.credit(0, cost)
            return
        if stream.expected is not None:
            stream.expected -= len(data)
            if stream.expected < 0:
                self._give_up(stream, PROTOCOL_ERROR, "more content than its length says", told)
                self.credit(0, cost)
                return
        if data:
            told.append((stream.id, Body(data, cost)))
        else:
            self.credit(stream.id, cost)
        if ends:
            self._heard_all(stream, told)

    def _heard_all(self, one: Stream, told: Told) -> None:
        if one.expected:
            self._give_up(one, PROTOCOL_ERROR, "less content than its length says", told)
            return
        one.inward = False
        told.append((one.id, _END))
        if not one.outward:
            self._finish(one)

    def _give_up(self, stream: Stream, code: int, why: str, told: Told) -> None:
        self._reset(stream, code)
        told.append((stream.id, Reset(code, why)))
        self._lose_patience()

    def _was_reset(self, stream: Stream, code: int, told: Told) -> None:
        del self._streams[stream.id]
        why = f"the peer reset the stream ({code_name(code)})"
        told.append((stream.id, Reset(code, why, unprocessed=code == REFUSED_STREAM)))
        if not stream.answered:
            self._lose_patience()

    def _lose_patience(self) -> None:
        self._impatience += not self._client
        if self._impatience > IMPATIENCE:
            raise Violation(ENHANCE_YOUR_CALM, "too many requests are cancelled")

    def _going_away(self, last: int, code: int, told: Told) -> None:
        self._draining = True
        if code != NO_ERROR:
            self._close(f"the peer ended the connection ({code_name(code)})", told)
            return
        for stream in [one for one in self._streams if self._client and one > last]:
            del self._streams[stream]
            why = "the backend takes no more requests here"
            told.append((stream, Reset(CANCEL, why, unprocessed=True)))

    def _close(self, why: str, told: Told, code: int | None = None) -> None:
        """End the connection: every exchange in progress is cut."""
        self._closed = True
        if code is not None:
            self._fault = why
            self._out.append(frames.goaway(self._accepted, code))
        told += [(stream, Reset(CANCEL, why)) for stream in self._streams]
        self._streams.clear()


def _length(headers: Headers) -> int | None:
    length = value(headers, b"content-length")
    return int(length) if length is not None else None
