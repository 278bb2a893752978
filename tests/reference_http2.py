"""The reference: a connection that speaks HTTP/2 (RFC 9113), either end, as a state machine around the h2 library.

h2 minds frames, HPACK and the states of streams. Here its events become ours, limits are set, the fields are checked
that HTTP/1.1 could not carry safely, and a GOAWAY ends a connection gently, which h2 alone does not know.
"""

from __future__ import annotations

from typing import Final

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.events import Event as H2Event
from h2.exceptions import NoSuchStreamError, ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from tests import reference_fields2 as fields2
from waypoint.http.events import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    MAX_HEAD,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Body,
    End,
    Event,
    Interim,
    RequestHead,
    Reset,
    ResponseHead,
    Trailers,
)
from waypoint.http.head import Fault

STREAMS: Final = 100
"""Requests that one connection may carry at a time."""
STREAM_WINDOW: Final = 512 * 1024
CONNECTION_WINDOW: Final = 4 * 1024 * 1024
"""Body bytes of one connection that may wait here, all streams together."""
MAX_FRAME: Final = 64 * 1024
IMPATIENCE: Final = 1000
"""Requests that a caller may cancel, beyond those it let finish, before it is asked to calm down (CVE-2023-44487)."""


class Http2:
    """One connection. Frames of the stream after its end, ours or the peer's, are passed over."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._h2 = H2Connection(H2Configuration(client_side=client, header_encoding=None))
        self._h2.local_settings = Settings(client=client, initial_values=_settings(client))
        # h2 has copied these two from the settings it made itself. Bigger heads than we announce are read to their
        # end, so that they can be answered with 431.
        self._h2.max_inbound_frame_size = MAX_FRAME
        self._h2.decoder.max_header_list_size = 4 * MAX_HEAD
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._frames = b""
        self._live: dict[int, set[str]] = {}
        """Streams in progress, with the directions that are still open: `in`, `out`."""
        self._last = 0
        self._draining = False
        self._closed = False
        self._impatience = 0
        self._fault = ""

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
        return self._closed or (self._draining and not self._live)

    @property
    def aborted(self) -> bool:
        """See `Codec`. HTTP/2 marks every whole message, so that a torn one shows."""
        return False

    @property
    def fault(self) -> str:
        """See `Codec`."""
        return self._fault

    def take(self) -> bytes:
        """See `Codec`."""
        data = self._h2.data_to_send() + self._frames
        self._frames = b""
        return data

    def resume(self) -> list[tuple[int, Event]]:
        """See `Codec`. Nothing ever waits for an answer."""
        return []

    def room(self, stream: int) -> int:
        """See `Codec`."""
        if "out" not in self._live.get(stream, ()):
            return 0
        return max(0, self._h2.local_flow_control_window(stream))

    def credit(self, stream: int, cost: int) -> None:
        """See `Codec`."""
        if cost and not self._closed:
            self._h2.acknowledge_received_data(cost, stream)

    def begin(self, request: RequestHead) -> int | None:
        """See `Codec`."""
        allowed = min(self._h2.remote_settings.max_concurrent_streams, STREAMS)
        if not self.usable or len(self._live) >= allowed:
            return None
        stream = self._h2.get_next_available_stream_id()
        self._live[stream] = {"in", "out"}
        self._send(stream, request)
        return stream

    def drain(self) -> None:
        """See `Codec`."""
        if not self._draining and not self._closed:
            self._draining = True
            if not self._client:
                self._frames += GoAwayFrame(0, last_stream_id=self._last, error_code=NO_ERROR).serialize()

    def send(self, stream: int, event: Event) -> None:
        """See `Codec`."""
        if "out" in self._live.get(stream, ()) or (isinstance(event, Reset) and stream in self._live):
            self._send(stream, event)

    def _send(self, stream: int, event: Event) -> None:
        try:
            self._say(stream, event)
        except NoSuchStreamError:
            self._live.pop(stream, None)
        except ProtocolError:
            # A field that HTTP/2 cannot carry came by way of a filter, say: only this message is lost.
            self._reset(stream, INTERNAL_ERROR)

    def _say(self, stream: int, event: Event) -> None:
        match event:
            case RequestHead():
                self._h2.send_headers(stream, fields2.print_request(event), end_stream=event.ends)
                self._ended(stream, "out", event.ends)
            case ResponseHead():
                self._h2.send_headers(stream, fields2.print_response(event.status, event.headers), event.ends)
                self._ended(stream, "out", event.ends)
            case Interim():
                self._h2.send_headers(stream, fields2.print_response(event.status, event.headers))
            case Body():
                self._data(stream, event.data)
            case Trailers():
                self._h2.send_headers(stream, event.headers, end_stream=True)
                self._ended(stream, "out", ended=True)
            case End():
                self._h2.end_stream(stream)
                self._ended(stream, "out", ended=True)
            case Reset():
                self._reset(stream, event.code)

    def _data(self, stream: int, data: bytes) -> None:
        step = self._h2.max_outbound_frame_size
        for start in range(0, len(data), step):
            self._h2.send_data(stream, data[start : start + step])

    def _reset(self, stream: int, code: int) -> None:
        self._live.pop(stream, None)
        try:
            self._h2.reset_stream(stream, code)
        except ProtocolError:
            return

    def _ended(self, stream: int, direction: str, ended: bool) -> None:
        """Note that a direction is through; an answer that is complete ends the request as well."""
        if not ended or stream not in self._live:
            return
        self._live[stream].discard(direction)
        if direction == "out" and not self._client and self._live[stream]:
            # The caller may still be sending what nobody will read (RFC 9113, section 8.1).
            self._reset(stream, NO_ERROR)
        elif not self._live[stream]:
            del self._live[stream]
            self._impatience = max(0, self._impatience - 1)

    def receive(self, data: bytes) -> list[tuple[int, Event]]:
        """See `Codec`."""
        if self._closed:
            return []
        if not data:
            return self._close("the peer closed the connection")
        try:
            found = self._h2.receive_data(data)
        except ProtocolError as fault:
            return self._close(f"the peer broke the protocol: {fault}", PROTOCOL_ERROR)
        except ValueError as fault:
            return self._close(f"the peer sent what cannot be read: {fault}", PROTOCOL_ERROR)
        events: list[tuple[int, Event]] = []
        for one in found:
            events += self._translate(one)
        return events

    def _translate(self, event: H2Event) -> list[tuple[int, Event]]:
        match event:
            case RequestReceived():
                return self._request(event)
            case StreamReset():
                return self._was_reset(event)
            case ConnectionTerminated():
                return self._going_away(event)
            case DataReceived() | ResponseReceived() | InformationalResponseReceived() | TrailersReceived():
                return self._received(event.stream_id, fields2.read(event))
            case StreamEnded():
                found = self._received(event.stream_id, End())
                self._ended(event.stream_id, "in", ended=True)
                return found
        return []

    def _request(self, event: RequestReceived) -> list[tuple[int, Event]]:
        stream = event.stream_id
        if self._draining:
            self._reset(stream, REFUSED_STREAM)
            return []
        self._last = stream
        self._live[stream] = {"in", "out"}
        return [(stream, fields2.read_request(event.headers, ends=event.stream_ended is not None))]

    def _received(self, stream: int, event: Event | Fault) -> list[tuple[int, Event]]:
        if isinstance(event, Body) and (stream not in self._live or not event.data):
            self.credit(stream, event.cost)
            return []
        if stream not in self._live:
            return []
        if isinstance(event, Fault):
            self._reset(stream, PROTOCOL_ERROR)
            return [(stream, Reset(PROTOCOL_ERROR, event.detail))]
        return [(stream, event)]

    def _was_reset(self, event: StreamReset) -> list[tuple[int, Event]]:
        if self._live.pop(event.stream_id, None) is None:
            return []
        code = int(event.error_code)
        found: list[tuple[int, Event]] = [
            (event.stream_id, Reset(code, f"the peer reset the stream ({_name(code)})", code == REFUSED_STREAM))
        ]
        self._impatience += not self._client
        if self._impatience > IMPATIENCE:
            found += self._close("the caller cancels too many requests", ENHANCE_YOUR_CALM)
        return found

    def _going_away(self, event: ConnectionTerminated) -> list[tuple[int, Event]]:
        self._draining = True
        code = int(event.error_code or 0)
        if code != NO_ERROR:
            return self._close(f"the peer ended the connection ({_name(code)})")
        # h2 takes a GOAWAY for the end; the protocol lets the streams that it names finish (RFC 9113, section 6.8).
        self._h2.state_machine.state = ConnectionState.CLIENT_OPEN if self._client else ConnectionState.SERVER_OPEN
        last = event.last_stream_id or 0
        beyond = [stream for stream in self._live if self._client and stream > last]
        for stream in beyond:
            del self._live[stream]
        return [
            (stream, Reset(CANCEL, "the backend takes no more requests here", unprocessed=True)) for stream in beyond
        ]

    def _close(self, why: str, code: int | None = None) -> list[tuple[int, Event]]:
        """End the connection: every exchange in progress is cut."""
        self._closed = True
        if code is not None:
            self._fault = why
            self._frames += GoAwayFrame(0, last_stream_id=self._last, error_code=code).serialize()
        cut: list[tuple[int, Event]] = [(stream, Reset(CANCEL, why)) for stream in self._live]
        self._live.clear()
        return cut


def _settings(client: bool) -> dict[SettingCodes, int]:
    common = {
        SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
        SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD,
    }
    return common if client else {**common, SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS}


def _name(code: int) -> str:
    try:
        return ErrorCodes(code).name
    except ValueError:
        return str(code)
