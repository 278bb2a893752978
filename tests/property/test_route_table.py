"""The compiled table of routes decides as the definition does, whatever the routes and the request."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.route import PathMatch, PathMatchKind, Route, RouteKind, RouteMatch, RouteRule, ValueMatch, best
from waypoint.http.events import RequestHead
from waypoint.table import Table, route_head

_parts = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4).map(lambda parts: "/" + "/".join(parts))
_paths = st.builds(PathMatch, st.sampled_from([PathMatchKind.EXACT, PathMatchKind.PREFIX]), _parts)
_patterns = st.builds(PathMatch, st.just(PathMatchKind.REGEX), st.sampled_from(["/a.*", "/.*b", "/", "/a/[ab]+"]))
_values = st.builds(ValueMatch, st.sampled_from(["x", "y"]), st.sampled_from(["1", "2", "1,2"]), st.booleans())
_conditions = st.lists(_values, max_size=2).map(tuple)
_matches = st.builds(
    RouteMatch, _paths | _patterns, _conditions, _conditions, st.none() | st.sampled_from(["GET", "POST"])
)
_rules = st.builds(RouteRule, st.lists(_matches, max_size=3).map(tuple))
_routes = st.lists(st.lists(_rules, max_size=4).map(tuple), max_size=3).map(
    lambda found: tuple(
        Route(f"r{number}", RouteKind.HTTP, "shop", f"r{number}", "shop/echo", "shop", rules=rules)
        for number, rules in enumerate(found)
    )
)
_queries = st.sampled_from(["", "?", "?x=1", "?x=2&y=1", "?y=&x=1"])
_headers = st.lists(st.tuples(st.sampled_from([b"x", b"y"]), st.sampled_from([b"1", b"2"])), max_size=3).map(tuple)
_requests = st.builds(
    lambda method, path, query, headers: RequestHead(method, b"echo", (path + query).encode(), headers),
    st.sampled_from([b"GET", b"POST", b"PUT"]),
    _parts | st.just("*"),
    _queries,
    _headers,
)


@given(_routes, _requests)
@settings(max_examples=1000, deadline=None)
def test_the_table_chooses_as_the_definition_does(routes: tuple[Route, ...], request: RequestHead) -> None:
    assert Table(routes).best(request) == best(routes, route_head(request))


def test_a_path_of_many_elements_costs_no_more_than_the_longest_prefix() -> None:
    rule = RouteRule((RouteMatch(PathMatch(PathMatchKind.PREFIX, "/a/b")),))
    table = Table((Route("r", RouteKind.HTTP, "shop", "r", "shop/echo", "shop", rules=(rule,)),))
    assert table.best(RequestHead(b"GET", b"echo", b"/a/b" + b"/" * 60_000)) is not None
    assert table.best(RequestHead(b"GET", b"echo", b"/" * 60_000)) is None
