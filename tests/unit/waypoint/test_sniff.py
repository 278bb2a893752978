"""First bytes and what they are taken for."""

from __future__ import annotations

import pytest

from waypoint.sniff import PREFACE, Sniffed, protocol, version


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"", Sniffed.UNDECIDED),
        (b"G", Sniffed.UNDECIDED),
        (b"GET ", Sniffed.UNDECIDED),
        (b"GET / HT", Sniffed.UNDECIDED),
        (b"GET / HTTP/1.1\r\n", Sniffed.HTTP1),
        (b"OPTIONS * HTTP/1.0\r\n", Sniffed.HTTP1),
        (b"GET http://x/ HTTP/1.1\r\nHost", Sniffed.HTTP1),
        (b"GET /key\r\n", Sniffed.OPAQUE),
        (b"PING\r\n", Sniffed.OPAQUE),
        (b"*1\r\n$4\r\nPING\r\n", Sniffed.OPAQUE),
        (b"\x16\x03\x01", Sniffed.OPAQUE),
        (b"EHLO example\r\n", Sniffed.OPAQUE),
        (b"PRI * HT", Sniffed.UNDECIDED),
        (PREFACE + b"\0\0", Sniffed.HTTP2),
        (b"PRI * HTTP/2.0\r\n\r\nXX", Sniffed.OPAQUE),
        (b"GET /" + b"a" * 9000, Sniffed.HTTP1),
    ],
)
def test_undeclared(first: bytes, expected: Sniffed) -> None:
    assert protocol(first) is expected


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"P", Sniffed.UNDECIDED),
        (b"PO", Sniffed.HTTP1),
        (PREFACE[:-1], Sniffed.UNDECIDED),
        (PREFACE, Sniffed.HTTP2),
        (b"\x16\x03", Sniffed.HTTP1),
    ],
)
def test_declared_to_be_http(first: bytes, expected: Sniffed) -> None:
    assert version(first) is expected
