"""What the demonstration's wire reader makes of frames: markers, TLS records, and bytes that only pretend."""

import struct

import pytest

from demo.wire import Wire

RECORD = b"\x17\x03\x03\x00\x05hello"


def frame(payload: bytes, sequence: int, port: int = 15008, flags: int = 0x10) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", 40000, port, sequence, 0, 5 << 4, flags, 0, 0, 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, bytes(4), bytes(4))
    return bytes(12) + b"\x08\x00" + head + tcp


def seen(*frames: bytes) -> Wire:
    wire = Wire(b"secret")
    for each in frames:
        wire.take(each)
    return wire


def opened(*payloads: bytes) -> Wire:
    frames, at = [frame(b"", 99, flags=0x02)], 100
    for payload in payloads:
        frames.append(frame(payload, at))
        at += len(payload)
    return seen(*frames)


def test_a_marker_in_clear_text_is_found_with_the_line_it_stands_in() -> None:
    wire = seen(frame(b"GET /?secret HTTP/1.1\r\nhost: web\r\n\r\n", 1, port=8080))
    assert wire.ports[8080].marker == 1
    assert wire.ports[8080].excerpt == "GET /?secret HTTP/1.1"


@pytest.mark.parametrize("cut", range(1, 2 * len(RECORD)))
def test_records_are_counted_however_they_are_cut_into_segments(cut: int) -> None:
    data = RECORD * 2
    port = opened(data[:cut], data[cut:]).ports[15008]
    assert (port.tls_records, port.not_tls) == (2, 0)


def test_a_repeated_segment_counts_once() -> None:
    wire = seen(frame(b"", 99, flags=0x02), frame(RECORD, 100), frame(RECORD, 100))
    assert wire.ports[15008].tls_records == 1


def test_clear_text_where_records_belong_is_reported() -> None:
    port = opened(RECORD, b"GET / HTTP/1.1\r\n\r\n").ports[15008]
    assert (port.tls_records, port.not_tls) == (1, 18)


def test_a_connection_from_before_is_followed_from_its_next_record() -> None:
    port = seen(frame(b"the rest of one", 500), frame(RECORD, 515)).ports[15008]
    assert (port.tls_records, port.not_tls) == (1, 0)


def test_other_frames_are_only_counted() -> None:
    wire = seen(bytes(12) + b"\x08\x06" + bytes(28))
    assert (wire.packets, wire.ports) == (1, {})
