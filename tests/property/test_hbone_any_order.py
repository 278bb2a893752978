"""HBONE under any chunking, any interleaving and any garbage; the h2 library judges what we write."""

from __future__ import annotations

import random
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.hbone import fields, frames
from mesh.hbone.limits import Limits
from tests.hbone_ends import Cut, End, pump

SMALL = Limits(stream_window=5_000, connection_window=70_000, outbox=4_000)
seeds = st.integers(0, 2**32)
bounded = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Say:
    """A stream, an end of it, and bytes that end sends there; `end` ends that half."""

    stream: int
    by_client: bool
    size: int
    end: bool


says = st.lists(
    st.builds(Say, st.integers(0, 4), st.booleans(), st.integers(0, 30_000), st.booleans()), min_size=1, max_size=25
)


def cut_by(dice: random.Random) -> Cut:
    def cut(data: bytes) -> list[bytes]:
        pieces, at = [], 0
        while at < len(data):
            size = dice.choice((1, 2, 8, 9, 10, 100, 5_000, 60_000))
            pieces.append(data[at : at + size])
            at += size
        return pieces

    return cut


@bounded
@given(says, seeds, st.sampled_from([SMALL, Limits()]))
def test_all_bytes_arrive_in_order_and_each_half_ends_once(script: list[Say], seed: int, limits: Limits) -> None:
    dice = random.Random(seed)
    client, server = End(client=True, limits=limits), End(client=False, limits=limits)
    cut = cut_by(dice)
    pump(client, server, cut)
    ours = [client.open() for _ in range(5)]
    pump(client, server, cut)
    sent: dict[tuple[int, bool], bytes] = {}
    ended: set[tuple[int, bool]] = set()
    for step in script:
        key = (step.stream, step.by_client)
        if key in ended:
            continue
        sink = ours[step.stream] if step.by_client else server.sinks[2 * step.stream + 1]
        data = dice.randbytes(step.size)
        sent[key] = sent.get(key, b"") + data
        sink.send(data, end=step.end)
        if step.end:
            ended.add(key)
        if dice.random() < 0.5:
            pump(client, server, cut)
    pump(client, server, cut)
    for number in range(5):
        theirs = server.sinks[2 * number + 1]
        assert bytes(theirs.kept) == sent.get((number, True), b"")
        assert bytes(ours[number].kept) == sent.get((number, False), b"")
        assert theirs.log == ["ended"] * ((number, True) in ended)
        assert ours[number].log == ["ended"] * ((number, False) in ended)
        over = {(number, True), (number, False)} <= ended
        assert (2 * number + 1 in client.connection.streams) is not over
    assert client.violation is server.violation is None


CONNECT = fields.encode_connect("a:1", [])
FRAME = st.builds(
    frames.frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 0x7FFF_FFFF, 0x8000_0001]),
    st.one_of(
        st.binary(max_size=60), st.sampled_from([bytes(4), bytes(5), bytes(8), fields.encode_connect("a:1", [])])
    ),
)


@settings(max_examples=1000, deadline=None)
@given(st.booleans(), st.booleans(), st.lists(st.one_of(FRAME, st.binary(max_size=40)), max_size=12), seeds)
def test_nothing_that_a_peer_sends_raises(is_client: bool, greets: bool, sent: list[bytes], seed: int) -> None:
    end = End(client=is_client)
    dice = random.Random(seed)
    if is_client:
        end.open()
    if greets:
        end.receive((b"" if is_client else frames.PREFACE) + frames.settings({}))
    for piece in cut_by(dice)(b"".join(sent)):
        end.receive(piece)
        end.output()
    if end.violation is not None:
        assert end.violation.detail
        assert not end.connection.streams


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=200))
def test_a_short_block_means_the_same_to_both_decoders(block: bytes) -> None:
    from hpack import Decoder
    from hpack.exceptions import HPACKError

    from mesh.hbone import literals

    quick = literals.decode(block, 65_536)
    if quick is not None:
        try:
            assert list(Decoder().decode(block, raw=True)) == quick
        except HPACKError as fault:
            raise AssertionError(f"we read {quick}") from fault


class Judge:
    """h2 as the other end: everything of ours goes through its state machines, which raise on what is forbidden."""

    def __init__(self, *, client: bool) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=client, header_encoding=None))
        announced = {SettingCodes.INITIAL_WINDOW_SIZE: 50_000, SettingCodes.MAX_FRAME_SIZE: 20_000}
        self.h2.local_settings = Settings(client=client, initial_values=announced)
        self.h2.max_inbound_frame_size = 20_000
        self.h2.initiate_connection()
        self.kept: dict[int, bytearray] = {}
        self.answers: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.reset: list[int] = []
        self.queue: dict[int, bytearray] = {}

    def receive(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case RequestReceived():
                    self.kept[event.stream_id] = bytearray()
                    self.h2.send_headers(event.stream_id, [(":status", "200"), ("baggage", "service.name=judge")])
                case ResponseReceived():
                    self.answers[event.stream_id] = dict(event.headers)[b":status"]
                case DataReceived():
                    self.kept.setdefault(event.stream_id, bytearray()).extend(event.data)
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self.ended.append(event.stream_id)
                case StreamReset():
                    self.reset.append(event.stream_id)
                case ConnectionTerminated():
                    raise AssertionError(event)
        self.push()

    def push(self) -> None:
        for stream_id, waiting in self.queue.items():
            while waiting:
                size = min(len(waiting), self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
                if not size:
                    break
                self.h2.send_data(stream_id, bytes(waiting[:size]))
                del waiting[:size]

    def exchange(self, end: End, cut: Cut) -> None:
        while end.connection.pending or (ours := self.h2.data_to_send()):
            if end.connection.pending:
                for piece in cut(end.output()):
                    self.receive(piece)
            else:
                for piece in cut(ours):
                    end.receive(piece)


@bounded
@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=5), seeds)
def test_h2_as_server_finds_our_client_in_order(sizes: list[int], seed: int) -> None:
    dice = random.Random(seed)
    client, judge, cut = End(client=True), Judge(client=False), cut_by(dice)
    judge.exchange(client, cut)
    payloads = [dice.randbytes(size) for size in sizes]
    sinks = [client.open("10.0.0.1:80") for _ in sizes]
    judge.exchange(client, cut)
    assert [answer.headers for answer in client.answers] == [{b"baggage": b"service.name=judge"}] * len(sizes)
    for sink, payload in zip(sinks, payloads, strict=True):
        sink.send(payload, end=True)
        judge.queue[sink.stream.id] = bytearray(payload)
    judge.push()
    judge.exchange(client, cut)
    assert [bytes(judge.kept[sink.stream.id]) for sink in sinks] == payloads
    assert [bytes(sink.kept) for sink in sinks] == payloads
    assert sorted(judge.ended) == [sink.stream.id for sink in sinks]
    assert client.connection.tick()
    judge.exchange(client, cut)


@bounded
@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=5), seeds)
def test_h2_as_client_finds_our_server_in_order(sizes: list[int], seed: int) -> None:
    dice = random.Random(seed)
    server, judge, cut = End(client=False), Judge(client=True), cut_by(dice)
    judge.exchange(server, cut)
    payloads = {2 * number + 1: dice.randbytes(size) for number, size in enumerate(sizes)}
    for stream_id, payload in payloads.items():
        judge.h2.send_headers(stream_id, [(":method", "CONNECT"), (":authority", "10.0.0.1:80"), ("baggage", "a=b")])
        judge.queue[stream_id] = bytearray(payload)
    judge.push()
    judge.exchange(server, cut)
    for stream_id, payload in payloads.items():
        judge.h2.end_stream(stream_id)
        server.sinks[stream_id].send(payload, end=True)
    judge.exchange(server, cut)
    assert {stream_id: bytes(server.sinks[stream_id].kept) for stream_id in payloads} == payloads
    assert {stream_id: bytes(judge.kept.get(stream_id, b"")) for stream_id in payloads} == payloads
    assert judge.answers == dict.fromkeys(payloads, b"200")
    assert judge.h2.open_outbound_streams == len(server.connection.streams) == 0
