"""The tables of Gateway API's filters."""

from __future__ import annotations

import pytest

from mesh.route import HeaderModifier, PathChange, PathMatch, PathMatchKind, Redirect, RequestHeaders, Rewrite
from waypoint import filters
from waypoint.http.events import RequestHead

HEAD = RequestHead(b"GET", b"echo:8080", b"/foo/bar?a=b", ((b"x-one", b"1"), (b"x-two", b"2"), (b"x-one", b"3")))


@pytest.mark.parametrize(
    ("path", "prefix", "value", "expected"),
    [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/foo/bar?x=/foo", "/foo", "/y", "/y/bar?x=/foo"),
        ("/", "/", "/y", "/y/"),
        ("/a", "/", "/y", "/y/a"),
    ],
)
def test_a_prefix_is_replaced_element_by_element(path: str, prefix: str, value: str, expected: str) -> None:
    assert filters.changed_path(path.encode(), PathChange(value, prefix=True), prefix) == expected.encode()


def test_a_full_path_is_replaced_and_the_query_kept() -> None:
    assert filters.changed_path(b"/a/b?c=d", PathChange("/x", prefix=False), "/") == b"/x?c=d"


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(), "http://echo/foo/bar?a=b"),
        (Redirect(host="example.org"), "http://example.org/foo/bar?a=b"),
        (Redirect(port=8083), "http://echo:8083/foo/bar?a=b"),
        (Redirect(port=80), "http://echo/foo/bar?a=b"),
        (Redirect(scheme="https"), "https://echo/foo/bar?a=b"),
        (Redirect(scheme="https", port=443), "https://echo/foo/bar?a=b"),
        (Redirect(scheme="https", port=8443), "https://echo:8443/foo/bar?a=b"),
        (Redirect(scheme="https", host="example.org"), "https://example.org/foo/bar?a=b"),
        (Redirect(path=PathChange("/new", prefix=False)), "http://echo/new?a=b"),
        (Redirect(path=PathChange("/new", prefix=True)), "http://echo/new/bar?a=b"),
    ],
)
def test_where_a_redirect_leads(redirect: Redirect, expected: str) -> None:
    assert filters.location(HEAD, redirect, "/foo", 80) == expected.encode()


@pytest.mark.parametrize(
    ("authority", "port", "expected"),
    [
        (b"echo", 8080, "http://echo:8080/"),
        (b"[fd00::1]:99", 80, "http://[fd00::1]/"),
        (b"[fd00::1]", 99, "http://[fd00::1]:99/"),
    ],
)
def test_a_redirect_without_a_port_keeps_the_one_that_was_called(authority: bytes, port: int, expected: str) -> None:
    head = RequestHead(b"GET", authority, b"/")
    assert filters.location(head, Redirect(), "/", port) == expected.encode()


def test_headers_are_set_added_and_removed() -> None:
    change = HeaderModifier(set=(("X-One", "new"),), add=(("x-two", "more"),), remove=("X-Three",))
    headers = (*HEAD.headers, (b"x-three", b"3"))
    assert filters.changed(headers, change) == (
        (b"x-two", b"2"),
        (b"x-one", b"new"),
        (b"x-two", b"more"),
    )


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", ":path", "TE", "Upgrade"])
def test_what_frames_a_message_is_no_filters_business(name: str) -> None:
    change = HeaderModifier(set=((name, "9"),), add=((name, "9"),), remove=(name,))
    headers = ((b"content-length", b"5"), (b"te", b"trailers"))
    assert filters.changed(headers, change) == headers


def test_filters_work_in_their_order() -> None:
    first = RequestHeaders(HeaderModifier(set=(("x-a", "1"),)))
    second = RequestHeaders(HeaderModifier(add=(("x-a", "2"),)))
    rewrite = Rewrite("other.example", PathChange("/y", prefix=True))
    changed = filters.on_request(RequestHead(b"GET", b"echo", b"/foo/z"), (first, second, rewrite), "/foo")
    assert changed == RequestHead(b"GET", b"other.example", b"/y/z", ((b"x-a", b"1"), (b"x-a", b"2")))


def test_setting_host_changes_the_authority() -> None:
    changed = filters.on_request(HEAD, (RequestHeaders(HeaderModifier(set=(("Host", "a.example"),))),), "/")
    assert changed.authority == b"a.example"
    assert all(name != b"host" for name, _ in changed.headers)


def test_only_a_prefix_covers() -> None:
    assert filters.covered(PathMatch(PathMatchKind.PREFIX, "/foo")) == "/foo"
    assert filters.covered(PathMatch(PathMatchKind.EXACT, "/foo")) == "/"
