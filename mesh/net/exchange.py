"""A CONNECT on a tunnel: the request that waits for its answer, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.hbone.frames import ErrorCode, code_name
from mesh.net.carrier import StreamCarrier
from mesh.net.splice import Splice
from mesh.net.tunnel_stream import TunnelStream
from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    import socket

    from mesh.hbone.fields import Answer, Connect
    from mesh.hbone.literals import Field
    from mesh.hbone.stream import StreamState
    from mesh.identity import Identity
    from mesh.net.flow import Flow
    from mesh.net.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class Rejected:
    """A CONNECT that the peer did not accept: the status it answered, or 503 when it gave no answer at all."""

    status: int
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    detail: str = ""
    unprocessed: bool = False
    """The peer vouches that it did nothing: the request may be sent again, on another tunnel (RFC 9113, 8.7)."""

    @property
    def refusal(self) -> Refusal:
        """The same as a refusal of ours."""
        return Refusal(Reason.PEER_REFUSED, self.detail or f"the peer answered CONNECT with {self.status}")


class Stream:
    """An open CONNECT stream. Exactly one of `splice`, `open`, `carry` and `reset` is to be called."""

    __slots__ = ("_state", "authority", "headers", "tunnel")

    def __init__(self, tunnel: Tunnel, state: StreamState, authority: str, headers: Mapping[bytes, bytes]) -> None:
        self.tunnel = tunnel
        self.authority = authority
        self.headers = headers
        """What the peer sent with its request, or its answer."""
        self._state = state

    def splice(self, sock: socket.socket) -> Flow:
        """Hand the stream and a connected socket to the relay, which owns both from now on."""
        return Splice(self.tunnel.wire, self._state, sock)

    def open(self) -> TunnelStream:
        """The stream for code that wants the bytes itself."""
        return TunnelStream(self.tunnel.wire, self._state)

    def carry(self) -> StreamCarrier:
        """The stream for code that lives in the relay."""
        return StreamCarrier(self.tunnel.wire, self._state)

    def reset(self, code: int = ErrorCode.CANCEL) -> None:
        """Give it up."""
        self._state.reset(code)


Told = Callable[[Stream | Rejected], None]


class Request:
    """Server: one CONNECT that waits for its answer. Nothing happens to it until `accept` or `refuse` is called."""

    __slots__ = ("_state", "authority", "headers", "tunnel")

    def __init__(self, tunnel: Tunnel, state: StreamState, connect: Connect) -> None:
        self.tunnel = tunnel
        self.authority = connect.authority
        """As sent; read it with mesh.address.parse_authority."""
        self.headers = connect.headers
        self._state = state

    @property
    def peer(self) -> Identity:
        """Who asks."""
        return self.tunnel.peer

    @property
    def withdrawn(self) -> bool:
        """Whether the peer has given it up meanwhile; accepting then yields a stream that ends at once."""
        return self._state.reset_code is not None

    def when_withdrawn(self, call: Callable[[], None]) -> None:
        """Call this, in the relay, if the peer resets the request or its tunnel ends before there is an answer."""
        self._state.on_withdrawn = call

    def accept(self, headers: Iterable[Field] = ()) -> Stream:
        """Answer 200."""
        self._state.answer(200, headers)
        return Stream(self.tunnel, self._state, self.authority, self.headers)

    def refuse(self, status: int, headers: Iterable[Field] = ()) -> None:
        """Answer anything else, and be done with it."""
        self.tunnel.connection.refuse(self._state, status, headers)


class Asked:
    """Client: a CONNECT until its answer comes (mesh.hbone.stream.Sink). `told` hears what became of it, once."""

    __slots__ = ("_authority", "_state", "_told", "_tunnel")

    def __init__(self, tunnel: Tunnel, state: StreamState, authority: str, told: Told) -> None:
        self._tunnel = tunnel
        self._state = state
        self._authority = authority
        self._told: Told | None = told
        state.attach(self)

    def withdraw(self) -> None:
        """Give it up; nobody is told."""
        if self._told is not None:
            self._told = None
            self._state.reset(ErrorCode.CANCEL)

    def answered(self, answer: Answer) -> None:
        """The answer came; what follows on the stream is kept until it has a sink again."""
        self._state.sink = None
        if answer.status >= 300:
            self._tell(Rejected(answer.status, answer.headers))
        else:
            self._tell(Stream(self._tunnel, self._state, self._authority, answer.headers))

    def data(self, view: memoryview) -> None:
        """Nothing may come in front of the answer."""
        self._state.took(len(view))
        self._state.reset(ErrorCode.PROTOCOL_ERROR)
        self.was_reset(ErrorCode.PROTOCOL_ERROR)

    def ended(self) -> None:
        """Told again when the real sink comes."""

    def was_reset(self, code: int) -> None:
        """No answer will come."""
        violation = self._tunnel.connection.violation
        if violation is not None:
            self._tell(Rejected(503, detail=f"the tunnel ended before the peer answered: {violation}"))
            return
        detail = f"the peer reset the stream in place of an answer: {code_name(code)}"
        self._tell(Rejected(503, detail=detail, unprocessed=code == ErrorCode.REFUSED_STREAM))

    def may_send(self) -> None:
        """Nothing is sent before the answer."""

    def _tell(self, answer: Stream | Rejected) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(answer)
