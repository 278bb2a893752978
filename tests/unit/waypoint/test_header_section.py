"""Header sections that are said again: read once, unless they hold a secret."""

from __future__ import annotations

import pytest

from waypoint.http import section
from waypoint.http.head import Fault
from waypoint.http.section import Fields


def test_a_section_said_again_is_not_read_again() -> None:
    first = section.read(b"host: shop\r\naccept: text/plain\r\n\r\n")
    assert first == Fields(((b"accept", b"text/plain"),), b"shop", None, False, frozenset(), b"")
    assert section.read(b"".join((b"host: shop\r\n", b"accept: text/plain\r\n\r\n"))) is first


@pytest.mark.parametrize("also", [b"", b"connection: cookie\r\n"])
def test_of_a_section_with_a_secret_no_copy_is_kept(also: bytes) -> None:
    text = b"host: shop\r\nCookie: session=1\r\n" + also + b"\r\n"
    assert section.read(text) is not section.read(text)


def test_a_long_section_is_not_kept() -> None:
    text = b"host: shop\r\n" + b"x-more: %b\r\n" % (b"a" * 2000) + b"\r\n"
    assert section.read(text) is not section.read(text)


def test_what_was_refused_is_refused_again() -> None:
    text = b"host: shop\r\nhost: other\r\n\r\n"
    assert isinstance(section.read(text), Fault)
    assert isinstance(section.read(text), Fault)


def test_sections_that_never_come_again_do_not_fill_the_memory() -> None:
    kept = section.read(b"host: first\r\n\r\n")
    for number in range(2000):
        section.read(b"host: shop\r\nx-number: %d\r\n\r\n" % number)
    assert section.read(b"host: first\r\n\r\n") is not kept
