"""A CONNECT on a tunnel: the request that waits for its answer, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from mesh.hbone.frames import ErrorCode
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

    def accept(self, headers: Iterable[Field] = ()) -> Stream:
        """Answer 200."""
        self._state.answer(200, headers)
        return Stream(self.tunnel, self._state, self.authority, self.headers)

    def refuse(self, status: int, headers: Iterable[Field] = ()) -> None:
        """Answer anything else, and be done with it."""
        self.tunnel.connection.refuse(self._state, status, headers)


class Awaited:
    """A client's stream until its answer comes (mesh.hbone.stream.Sink)."""

    __slots__ = ("answer", "code", "settled", "state")

    def __init__(self, state: StreamState) -> None:
        self.state = state
        self.settled = trio.Event()
        self.answer: Answer | None = None
        self.code: int | None = None

    def data(self, view: memoryview) -> None:
        """Nothing may come in front of the answer."""
        self.state.took(len(view))
        self.state.reset(ErrorCode.PROTOCOL_ERROR)
        self.was_reset(ErrorCode.PROTOCOL_ERROR)

    def ended(self) -> None:
        """Told again when the real sink comes."""

    def was_reset(self, code: int) -> None:
        """No answer will come."""
        self.code = code
        self.settled.set()

    def may_send(self) -> None:
        """Nothing is sent before the answer."""
