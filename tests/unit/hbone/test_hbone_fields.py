"""Header blocks: ours are read by anyone, anyone's are judged as RFC 9113 asks."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder

from mesh.hbone import fields, literals
from mesh.hbone.fields import Answer, Connect, Malformed, Unsupported
from mesh.hbone.literals import Field

AUTHORITY: Field = (b":authority", b"10.0.0.1:80")
CONNECT: Field = (b":method", b"CONNECT")
SIZES = [0, 1, 126, 127, 128, 254, 255, 300, 16_000]


@pytest.mark.parametrize("size", SIZES)
def test_our_connect_is_read_by_a_stock_decoder(size: int) -> None:
    block = fields.encode_connect("10.0.0.1:80", [(b"baggage", b"a" * size)])
    assert list(Decoder().decode(block, raw=True)) == [CONNECT, AUTHORITY, (b"baggage", b"a" * size)]


@pytest.mark.parametrize("size", SIZES)
def test_our_own_blocks_take_the_short_way(size: int) -> None:
    block = fields.encode_connect("10.0.0.1:80", [(b"baggage", b"a" * size)])
    assert literals.decode(block, 65_536) == [CONNECT, AUTHORITY, (b"baggage", b"a" * size)]


@pytest.mark.parametrize("status", [200, 204, 400, 401, 503])
def test_our_answer_is_read_by_a_stock_decoder_and_by_us(status: int) -> None:
    expected = [(b":status", b"%d" % status), (b"baggage", b"x")]
    block = fields.encode_answer(status, [(b"baggage", b"x")])
    assert list(Decoder().decode(block, raw=True)) == expected
    assert literals.decode(block, 65_536) == expected


def test_a_stock_encoders_blocks_are_read_with_their_table() -> None:
    encoder, reader = Encoder(), fields.decoder(65_536)
    for _ in range(3):
        sent = [CONNECT, AUTHORITY, (b"baggage", b"service.name=web")]
        assert fields.decode(reader, encoder.encode(sent)) == sent


def test_a_literal_block_does_not_disturb_the_table() -> None:
    encoder, reader = Encoder(), fields.decoder(65_536)
    sent = [CONNECT, (b"x-name", b"value")]
    fields.decode(reader, encoder.encode(sent))
    fields.decode(reader, fields.encode_connect("10.0.0.1:80", []))
    assert fields.decode(reader, encoder.encode(sent)) == sent


@pytest.mark.parametrize(
    "block", [b"\x00", b"\x00\x05ab", b"\x7f\xff\xff\xff\xff\xff", b"\xff\xff", b"\x80", b"\x00\x81\xff\x00"]
)
def test_what_is_no_block_is_unreadable(block: bytes) -> None:
    with pytest.raises(fields.BlockUnreadable):
        fields.decode(fields.decoder(65_536), block)


@pytest.mark.parametrize(
    "block",
    [
        fields.encode_connect("a:1", [(b"x", b"a" * 2_000)]),
        Encoder().encode([(b"x", b"a" * 2_000)]),
        b"\x88" * 2_000,
    ],
)
def test_a_list_above_the_limit_is_refused_on_both_ways(block: bytes) -> None:
    with pytest.raises(fields.BlockTooLong):
        fields.decode(fields.decoder(1_000), block)


@pytest.mark.parametrize(
    ("sent", "judgement"),
    [
        ([CONNECT, AUTHORITY], Connect("10.0.0.1:80", {})),
        ([CONNECT, AUTHORITY, (b"a", b"1"), (b"a", b"2")], Connect("10.0.0.1:80", {b"a": b"1, 2"})),
        ([CONNECT, AUTHORITY, (b"a", b"\xc3\xbc")], Connect("10.0.0.1:80", {b"a": b"\xc3\xbc"})),
        ([CONNECT], Unsupported),
        ([CONNECT, (b":authority", b"\xff")], Unsupported),
        ([(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), AUTHORITY], Unsupported),
        ([CONNECT, AUTHORITY, (b":protocol", b"websocket")], Unsupported),
        ([CONNECT, AUTHORITY, (b":path", b"/")], Malformed),
        ([CONNECT, CONNECT, AUTHORITY], Malformed),
        ([CONNECT, AUTHORITY, (b":status", b"200")], Malformed),
        ([AUTHORITY], Malformed),
        ([CONNECT, (b"a", b"1"), AUTHORITY], Malformed),
        ([CONNECT, AUTHORITY, (b"Upper", b"1")], Malformed),
        ([CONNECT, AUTHORITY, (b"", b"1")], Malformed),
        ([CONNECT, AUTHORITY, (b"a", b"1\r\nb: 2")], Malformed),
        ([CONNECT, AUTHORITY, (b"a", b" 1")], Malformed),
        ([CONNECT, AUTHORITY, (b"connection", b"close")], Malformed),
    ],
)
def test_requests_are_judged(sent: list[Field], judgement: object) -> None:
    found = fields.read_connect(sent)
    assert found == judgement or found.__class__ is judgement


@pytest.mark.parametrize(
    ("sent", "judgement"),
    [
        ([(b":status", b"200"), (b"baggage", b"x")], Answer(200, {b"baggage": b"x"})),
        ([(b":status", b"503")], Answer(503, {})),
        ([(b":status", b"2000")], Malformed),
        ([(b":status", b"abc")], Malformed),
        ([(b"baggage", b"x")], Malformed),
        ([(b":status", b"200"), AUTHORITY], Malformed),
    ],
)
def test_answers_are_judged(sent: list[Field], judgement: object) -> None:
    found = fields.read_answer(sent)
    assert found == judgement or found.__class__ is judgement
