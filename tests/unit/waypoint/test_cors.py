"""What browsers are told of cross-origin use."""

from __future__ import annotations

import pytest

from mesh.route import Cors, HeaderModifier, Redirect, ResponseHeaders
from waypoint import cors, filters
from waypoint.http.events import RequestHead

SHOP = Cors(
    origins=("https://shop.example", "https://*.fair.example"),
    methods=("GET", "PUT"),
    headers=("x-one", "x-two"),
    exposed=("x-total",),
    max_age=60,
)


def asked(origin: str, method: str = "OPTIONS", **fields: str) -> RequestHead:
    headers = {"origin": origin, "access-control-request-method": "PUT", **fields}
    return RequestHead(
        method.encode(),
        b"api",
        b"/",
        tuple((name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()),
    )


def told(found: tuple[tuple[bytes, bytes], ...] | None) -> dict[str, str]:
    assert found is not None
    return {name.decode(): value.decode() for name, value in found}


@pytest.mark.parametrize(
    ("origin", "allowed", "holds"),
    [
        ("https://shop.example", "*", True),
        ("https://shop.example", "https://shop.example", True),
        ("HTTPS://Shop.example", "https://shop.example", True),
        ("https://shop.example:443", "https://shop.example", True),
        ("https://shop.example:8443", "https://shop.example", False),
        ("http://shop.example", "https://shop.example", False),
        ("https://a.fair.example", "https://*.fair.example", True),
        ("https://a.b.fair.example", "https://*.fair.example", True),
        ("https://fair.example", "https://*.fair.example", False),
        ("https://unfair.example", "https://*.fair.example", False),
        ("https://.fair.example", "https://*.fair.example", False),
        ("https://fair.example.evil.example", "https://*.fair.example", False),
        ("https://any.example:99", "https://*:99", True),
        ("https://any.example", "https://*", True),
        ("http://any.example", "https://*", False),
        ("null", "https://*", False),
        ("null", "https://shop.example", False),
        ("http://[::1]:8080", "http://[::1]:8080", True),
    ],
)
def test_whose_pages_are_meant(origin: str, allowed: str, holds: bool) -> None:
    assert cors.allows(origin, allowed) is holds


def test_a_preflight_of_an_allowed_origin_is_told_what_it_may() -> None:
    assert told(cors.preflight(SHOP, asked("https://shop.example"))) == {
        "access-control-allow-origin": "https://shop.example",
        "vary": "Origin",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "x-one, x-two",
        "access-control-max-age": "60",
    }


def test_a_preflight_of_another_origin_is_told_nothing() -> None:
    assert cors.preflight(SHOP, asked("https://evil.example")) == ()


@pytest.mark.parametrize(
    "request_head",
    [
        asked("https://shop.example", "GET"),
        RequestHead(b"OPTIONS", b"api", b"/", ((b"origin", b"https://shop.example"),)),
        RequestHead(b"OPTIONS", b"api", b"/", ((b"access-control-request-method", b"PUT"),)),
    ],
)
def test_what_is_no_preflight_is_the_backends(request_head: RequestHead) -> None:
    assert cors.preflight(SHOP, request_head) is None


def test_stars_are_spelled_out_where_credentials_make_them_plain_names() -> None:
    everything = Cors(("*",), ("*",), ("*",), ("*",))
    question = asked("https://a.example", access_control_request_headers="x-a, x-b")
    open_to_all = told(cors.preflight(everything, question))
    assert open_to_all["access-control-allow-origin"] == "*"
    assert open_to_all["access-control-allow-methods"] == open_to_all["access-control-allow-headers"] == "*"
    with_credentials = told(cors.preflight(Cors(("*",), ("*",), ("*",), ("*",), credentials=True), question))
    assert with_credentials == {
        "access-control-allow-origin": "https://a.example",
        "vary": "Origin",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "x-a, x-b",
        "access-control-max-age": "5",
    }


def test_without_a_list_of_methods_only_those_that_need_no_preflight_are_named() -> None:
    assert told(cors.preflight(Cors(("*",)), asked("https://a.example")))["access-control-allow-methods"] == (
        "GET, HEAD, POST"
    )


def test_an_answer_says_what_the_filter_says_and_not_what_the_backend_said() -> None:
    backend = ((b"access-control-allow-origin", b"*"), (b"vary", b"Accept"), (b"x-total", b"3"))
    changes = filters.response_changes(asked("https://shop.example", "GET"), (SHOP,))
    assert filters.on_response(backend, changes) == (
        (b"vary", b"Accept"),
        (b"x-total", b"3"),
        (b"access-control-allow-origin", b"https://shop.example"),
        (b"access-control-expose-headers", b"x-total"),
        (b"vary", b"Origin"),
    )
    others = filters.response_changes(asked("https://evil.example", "GET"), (SHOP,))
    assert filters.on_response(backend, others) == ((b"vary", b"Accept"), (b"x-total", b"3"))


def test_filters_change_answers_in_their_order() -> None:
    modifier = HeaderModifier(set=(("access-control-allow-origin", "https://own.example"),))
    changes = filters.response_changes(
        asked("https://shop.example", "GET"), (SHOP, ResponseHeaders(modifier), Redirect())
    )
    assert (b"access-control-allow-origin", b"https://own.example") in filters.on_response((), changes)
