"""Which rule a request goes by."""

from __future__ import annotations

import pytest

from mesh.route import (
    Backend,
    PathMatch,
    PathMatchKind,
    RequestHead,
    Route,
    RouteKind,
    RouteMatch,
    RouteRule,
    ValueMatch,
    applicable,
    best,
)

CATALOG = "shop/catalog.shop.svc.cluster.local"


def head(path: str = "/", method: str = "GET", query: str = "", **headers: str) -> RequestHead:
    return RequestHead(method, "catalog", path, query, tuple(headers.items()))


def rule(name: str, *matches: RouteMatch) -> RouteRule:
    return RouteRule(matches or (RouteMatch(),), name=name, backends=(Backend(CATALOG, 80),))


def route(*rules: RouteRule, name: str = "r", namespace: str = "shop", **more: object) -> Route:
    kind = more.pop("kind", RouteKind.HTTP)
    key = f"{kind}/{namespace}/{name}"
    return Route(key, kind, namespace, name, CATALOG, "shop", rules=rules, **more)  # type: ignore[arg-type]


def path(kind: PathMatchKind, value: str) -> RouteMatch:
    return RouteMatch(PathMatch(kind, value))


@pytest.mark.parametrize(
    ("prefix", "request_path", "holds"),
    [
        ("/", "/", True),
        ("/", "/any/thing", True),
        ("/abc", "/abc", True),
        ("/abc", "/abc/", True),
        ("/abc", "/abc/def", True),
        ("/abc", "/abcd", False),
        ("/abc/", "/abc", True),
        ("/abc/", "/abc/def", True),
        ("/abc", "/ABC", False),
    ],
)
def test_a_prefix_is_compared_by_elements(prefix: str, request_path: str, holds: bool) -> None:
    assert PathMatch(PathMatchKind.PREFIX, prefix).holds(request_path) is holds


def test_exact_paths_and_patterns() -> None:
    assert PathMatch(PathMatchKind.EXACT, "/abc").holds("/abc")
    assert not PathMatch(PathMatchKind.EXACT, "/abc").holds("/abc/")
    assert PathMatch(PathMatchKind.REGEX, "/v[0-9]+/.*").holds("/v12/x")
    assert not PathMatch(PathMatchKind.REGEX, "/v[0-9]+").holds("/v12/x")


def test_the_narrowest_match_wins_in_the_order_of_the_specification() -> None:
    exact = path(PathMatchKind.EXACT, "/a/b")
    long = path(PathMatchKind.PREFIX, "/a/b")
    short = path(PathMatchKind.PREFIX, "/a")
    pattern = path(PathMatchKind.REGEX, "/a/b/.*|/a/b")
    routes = [route(rule("regex", pattern), rule("short", short), rule("long", long), rule("exact", exact))]
    chosen = {where: best(routes, head(where)) for where in ("/a/b", "/a/b/c", "/a/z")}
    assert {where: one and one.rule.name for where, one in chosen.items()} == {
        "/a/b": "exact",
        "/a/b/c": "long",
        "/a/z": "short",
    }


def test_a_method_outranks_headers_and_headers_outrank_parameters() -> None:
    by_query = RouteMatch(query=(ValueMatch("x", "1"), ValueMatch("y", "1")))
    by_header = RouteMatch(headers=(ValueMatch("x-user", "beta"),))
    by_method = RouteMatch(method="GET")
    routes = [route(rule("query", by_query), rule("header", by_header), rule("method", by_method))]
    request = RequestHead("GET", "c", "/", "x=1&y=1", (("x-user", "beta"),))
    assert (choice := best(routes, request)) is not None
    assert choice.rule.name == "method"
    assert (choice := best([route(*routes[0].rules[:2])], request)) is not None
    assert choice.rule.name == "header"


def test_no_match_is_none() -> None:
    assert best([route(rule("v2", path(PathMatchKind.PREFIX, "/v2")))], head("/v1")) is None


def test_among_equals_the_older_route_wins_then_the_first_rule() -> None:
    young = route(rule("young"), name="a", created="2026-02-01T00:00:00Z")
    old = route(rule("first"), rule("second"), name="b", created="2026-01-01T00:00:00Z")
    choice = best(applicable([young, old], CATALOG, 80, "shop"), head())
    assert choice is not None
    assert choice.rule.name == "first"


def test_headers_of_several_lines_count_as_one_list() -> None:
    request = RequestHead("GET", "c", "/", "", (("x", "1"), ("x", "2")))
    assert RouteMatch(headers=(ValueMatch("x", "1,2"),)).holds(request)


def test_a_query_parameter_counts_by_its_first_value_decoded() -> None:
    match = RouteMatch(query=(ValueMatch("name", "a b"),))
    assert match.holds(head(query="name=a%20b&name=c"))
    assert not match.holds(head(query="name=c&name=a+b"))


def test_a_consumers_routes_replace_the_producers_for_its_own_namespace() -> None:
    producer = route(rule("producer"))
    consumer = route(rule("consumer", path(PathMatchKind.PREFIX, "/only")), namespace="front")
    both = [producer, consumer]
    assert applicable(both, CATALOG, 80, "front") == (consumer,)
    assert applicable(both, CATALOG, 80, "other") == (producer,)
    assert best(applicable(both, CATALOG, 80, "front"), head("/elsewhere")) is None


def test_grpc_routes_displace_http_routes_on_their_port() -> None:
    http = route(rule("http"))
    grpc = route(rule("grpc"), kind=RouteKind.GRPC, port=7070)
    assert applicable([http, grpc], CATALOG, 7070, "shop") == (grpc,)
    assert applicable([http, grpc], CATALOG, 80, "shop") == (http,)
