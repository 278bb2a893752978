"""Our header compression and the hpack library's understand each other; garbage raises nothing unexpected."""

from __future__ import annotations

import contextlib

import hpack
from hypothesis import given, settings
from hypothesis import strategies as st

from waypoint.http.hpack import Decoder, TooLong, Unreadable, encode

_names = st.sampled_from([b":method", b":path", b"accept", b"cookie", b"x-a", b"x-long-name-of-a-field", b"date"])
_texts = st.from_regex(r"([!-~]([ -~]{0,40}[!-~])?)?", fullmatch=True).map(str.encode)
_texts |= st.sampled_from([b"GET", b"/", b"gzip, deflate", b"v" * 500])
_lists = st.lists(st.tuples(_names, _texts), max_size=12)


@given(st.lists(_lists, max_size=30), st.booleans(), st.lists(st.sampled_from([0, 60, 200, 4096]), max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_the_library_writes_we_read(
    blocks: list[list[tuple[bytes, bytes]]], huffman: bool, sizes: list[int]
) -> None:
    writer, reader = hpack.Encoder(), Decoder(65_536)
    for number, fields in enumerate([one for block in blocks for one in (block, block)]):
        if number < len(sizes):
            writer.header_table_size = sizes[number]
        assert reader.decode(writer.encode(fields, huffman=huffman)).fields == fields


@given(st.lists(_lists, max_size=5))
@settings(max_examples=200, deadline=None)
def test_what_we_write_the_library_reads_and_keeps_nothing_of(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    reader = hpack.Decoder()
    for fields in blocks:
        assert [(name, text) for name, text in reader.decode(encode(fields), raw=True)] == fields
    assert not reader.header_table.dynamic_entries


@given(st.lists(st.binary(max_size=60), max_size=5))
@settings(max_examples=500, deadline=None)
def test_garbage_is_unreadable_to_both_or_means_the_same(blocks: list[bytes]) -> None:
    ours, theirs = Decoder(1000), hpack.Decoder(max_header_list_size=1000)
    theirs.max_allowed_table_size = 4096
    for block in blocks:
        try:
            fields = ours.decode(block).fields
        except (Unreadable, TooLong):
            return
        with contextlib.suppress(hpack.HPACKError):
            assert [(bytes(name), bytes(text)) for name, text in theirs.decode(block, raw=True)] == fields
            continue
        raise AssertionError(f"the library does not read {block!r}")
