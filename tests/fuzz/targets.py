"""What is fuzzed: everything of ours that reads what others send. Each takes any bytes and raises only by a bug.

What a reader promises to raise for bad input is caught here by its name; and what it does read must survive being
written and read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from google.protobuf.message import DecodeError

from mesh import proxy_protocol, revocation, zds
from mesh.address import parse_authority
from mesh.hbone import frames
from mesh.hbone.fields import BlockTooLong, BlockUnreadable, decode, decoder, read_answer, read_connect
from mesh.hbone.headers import Baggage, Forwarded
from mesh.identity import Identity
from mesh.trace import TraceContext
from mesh.xds import codec
from mesh.xds.codec import Rejection
from mesh.xds.pb import citadel_pb2, discovery_pb2
from mesh.xds.resource import ADDRESS, AUTHORIZATION, WAYPOINT_POLICY, WAYPOINT_ROUTE
from tests.fuzz import http
from tests.hbone_ends import End
from ztunnel import command, fork
from ztunnel.channel.frames import ChannelError, Frames, frame
from ztunnel.channel.message import from_supervisor, from_worker, to_supervisor, to_worker
from ztunnel.supervisor.roster import read_line

LONGEST_BAGGAGE = 8192
GREETING = frames.PREFACE + frames.settings({})


def hbone_server(data: bytes) -> None:
    """The frame parser and the CONNECT exchanges, as a caller reaches them; the first byte says how it is cut."""
    _converse(End(client=False), GREETING, data)


def hbone_client(data: bytes) -> None:
    """The same as whom we called reaches them, with a request under way."""
    end = End(client=True)
    end.open()
    _converse(end, frames.settings({}), data)


def _converse(end: End, greeting: bytes, data: bytes) -> None:
    end.receive(greeting)
    for piece in _pieces(data):
        end.receive(piece)
        end.output()
    if end.violation is not None:
        assert end.violation.detail
        assert not end.connection.streams


def _pieces(data: bytes) -> Iterator[bytes]:
    size = data[0] + 1 if data else 1
    rest = data[1:]
    yield from (rest[at : at + size] for at in range(0, len(rest), size))


def hbone_heads(data: bytes) -> None:
    """Header blocks (HPACK), as requests and as answers."""
    with suppress(BlockUnreadable, BlockTooLong):
        fields = decode(decoder(65_536), data)
        read_connect(fields)
        read_answer(fields)


def headers(data: bytes) -> None:
    """baggage, forwarded and traceparent."""
    baggage = Baggage.parse(data)
    if len(written := baggage.encode()) <= LONGEST_BAGGAGE:
        assert Baggage.parse(written) == baggage
    forwarded = Forwarded.parse(data)
    assert forwarded is None or Forwarded.parse(forwarded.encode()) == forwarded
    trace = TraceContext.parse(data)
    assert trace is None or TraceContext.parse(trace.encode()) == trace


def authority(data: bytes) -> None:
    """`host:port` and `ip:port`; SPIFFE ids."""
    text = data.decode("utf-8", "replace")
    with suppress(ValueError):
        found = parse_authority(text)
        assert parse_authority(str(found)) == found
    with suppress(ValueError):
        assert Identity.parse(str(Identity.parse(text))) == Identity.parse(text)


def proxy_header(data: bytes) -> None:
    """PROXY protocol, version 2."""
    with suppress(proxy_protocol.MalformedHeader):
        read = proxy_protocol.parse(data)
        if read is not None:
            header, length = read
            assert 16 <= length <= len(data)
            assert proxy_protocol.parse(header.encode()) == (header, len(header.encode()))


def channel(data: bytes) -> None:
    """What workers and supervisor say to each other, on the stream and message by message."""
    for read, write in ((from_worker, to_supervisor), (from_supervisor, to_worker)):
        with suppress(ChannelError):
            for piece in _pieces(data):
                for document in Frames(1 << 16).receive(piece):
                    read(document)
        with suppress(ChannelError):
            for document in Frames(1 << 16).receive(len(data).to_bytes(4, "big") + data):
                message = read(document)
                [again] = Frames(1 << 20).receive(frame(write(message)))
                assert read(again) == message


def keeper(data: bytes) -> None:
    """What the keeper hears: the zygote, its own administrator, the CNI agent; and what the supervisor hears of it."""
    with suppress(fork.ForkError):
        fork.parse_order(data)
    with suppress(fork.ForkError):
        fork.parse_answer(data)
    with suppress(command.CommandError):
        command.parse_request(data)
    with suppress(command.CommandError):
        command.parse_answer(data)
    with suppress(ValueError):
        read_line(data)


def agent(data: bytes) -> None:
    """ZDS, the protocol of the CNI agent."""
    for parse in (zds.parse_hello, zds.parse_ack):
        with suppress(zds.ZdsError):
            parse(data)
    with suppress(zds.ZdsError):
        request = zds.parse_request(data)
        with suppress(zds.ZdsError):  # what was sent in few bytes may take more than a packet as we write it
            assert zds.parse_request(zds.encode_request(request)) == request


def resources(data: bytes) -> None:
    """Every resource that the control plane sends, and the messages around them. The first byte says which."""
    if not data:
        return
    kind = (ADDRESS, AUTHORIZATION, WAYPOINT_POLICY, WAYPOINT_ROUTE)[data[0] % 4]
    found = codec.decode(kind, "name", data[1:])
    if isinstance(found, Rejection):
        assert str(found)
    else:
        assert codec.decode(kind, "name", codec.encode(found).body) == found
    for message in (discovery_pb2.DeltaDiscoveryResponse, citadel_pb2.IstioCertificateResponse):
        with suppress(DecodeError):
            message.FromString(data[1:])


def revocations(data: bytes) -> None:
    """Revocation lists, PEM."""
    with suppress(ValueError):
        revocation.read(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (
        *(hbone_server, hbone_client, hbone_heads, headers, authority, proxy_header),
        *(channel, keeper, agent, resources, revocations),
        *(http.http1_server, http.http1_client, http.http2_server, http.http2_client, http.hpack_block),
    )
}
