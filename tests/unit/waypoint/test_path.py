"""One text for policies, routes and backends."""

from __future__ import annotations

import pytest

from waypoint.path import normal


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"/", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/../../b", b"/b"),
        (b"/a/..", b"/"),
        (b"/a/b/.", b"/a/b/"),
        (b"/%61dmin", b"/admin"),
        (b"/x/%2e%2E/admin", b"/admin"),
        (b"/%2fadmin", b"/%2Fadmin"),
        (b"/a%20b", b"/a%20b"),
        (b"/a%zz", b"/a%zz"),
        (b"/x\\..\\admin", b"/admin"),
        (b"//a//b", b"//a//b"),
        (b"/a?b/../c=%61", b"/a?b/../c=%61"),
        (b"/.well-known/x", b"/.well-known/x"),
        (b"/...", b"/..."),
        (b"/a;b=c/d", b"/a;b=c/d"),
    ],
)
def test_normal_form(given: bytes, expected: bytes) -> None:
    assert normal(given) == expected
    assert normal(expected) == expected
