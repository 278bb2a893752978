"""The rules of a service's routes, arranged so that a request finds its rule in one pass however many there are. Pure.

Paths are looked up in dictionaries: the whole path, then its prefixes element by element. Only the matches found there
are tried, the most specific first; headers and the query are read only where one of these asks for them. The verdict is
that of `mesh.route.best`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesh.route import Choice, PathMatch, PathMatchKind, Route, RouteMatch, specificity
from mesh.route import RequestHead as RouteHead
from waypoint.http.events import RequestHead

_KEPT: Final = 256
"""Tables kept, so that a change of something else does not have them made anew."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A match and where it leads; of those that hold the one with the greatest rank wins."""

    rank: tuple[int, ...]
    match: RouteMatch
    choice: Choice
    simple: bool
    """The path alone decides."""


class Table:
    """Made of routes in the order in which `mesh.route.applicable` gives them."""

    __slots__ = ("_exact", "_longest", "_patterns", "_prefixes", "routes")

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        entries = sorted(_entries(routes), key=lambda one: one.rank, reverse=True)
        self._exact = _grouped(entries, PathMatchKind.EXACT)
        self._prefixes = _grouped(entries, PathMatchKind.PREFIX)
        self._patterns = [one for one in entries if one.match.path.kind is PathMatchKind.REGEX]
        self._longest = max(map(len, self._prefixes), default=-1)

    def best(self, request: RequestHead) -> Choice | None:
        """The rule for this request, or None when nothing matches."""
        path = request.path.partition(b"?")[0].decode("latin-1")
        asked = _Asked(request)
        entry = asked.first(self._exact.get(path, ())) or self._by_prefix(path, asked)
        if entry is None and self._patterns:
            entry = asked.first(one for one in self._patterns if one.match.path.holds(path))
        return entry.choice if entry is not None else None

    def _by_prefix(self, path: str, asked: _Asked) -> _Entry | None:
        found: _Entry | None = None
        end = len(path)
        if end > self._longest:
            end = path.rfind("/", 0, self._longest + 1)
        while end >= 0:
            entries = self._prefixes.get(path[:end])
            entry = asked.first(entries) if entries is not None else None
            if entry is not None and (found is None or entry.rank > found.rank):
                found = entry
            end = path.rfind("/", 0, end)
        return found


def table(routes: tuple[Route, ...]) -> Table:
    """The table of these very routes, made when it is asked for first."""
    key = tuple(map(id, routes))
    made = _tables.get(key)
    if made is None:
        if len(_tables) >= _KEPT:
            _tables.clear()
        made = _tables[key] = Table(routes)
    return made


_tables: Final[dict[tuple[int, ...], Table]] = {}
"""By identity: a table keeps its routes alive, so that no others can take their place."""


def route_head(request: RequestHead) -> RouteHead:
    """The request as routes match it."""
    path, _, query = request.path.partition(b"?")
    headers = tuple((_text(name), _text(value)) for name, value in request.headers)
    return RouteHead(
        _text(request.method), _text(request.authority), _text(path), _text(query), headers, _text(request.scheme)
    )


class _Asked:
    """A request, read as far as somebody wants to know."""

    __slots__ = ("_head", "_request")

    def __init__(self, request: RequestHead) -> None:
        self._request = request
        self._head: RouteHead | None = None

    def first(self, entries: Iterable[_Entry]) -> _Entry | None:
        """The first entry, of those whose path matches, that holds."""
        for entry in entries:
            if entry.simple or self._holds(entry.match):
                return entry
        return None

    def _holds(self, match: RouteMatch) -> bool:
        head = self._head
        if head is None:
            head = self._head = route_head(self._request)
        return (
            (match.method is None or match.method == head.method)
            and all(one.holds(head.header(one.name)) for one in match.headers)
            and all(one.holds(head.parameter(one.name)) for one in match.query)
        )


def _entries(routes: tuple[Route, ...]) -> Iterable[_Entry]:
    order = 0
    for route in routes:
        for number, rule in enumerate(route.rules, 1):
            for match in rule.matches:
                order -= 1
                one = specificity(match)
                rank = (one.path_rank, one.path_length, one.method, one.headers, one.query, order)
                simple = match.method is None and not match.headers and not match.query
                yield _Entry(rank, match, Choice(route, rule, number, match), simple)


def _grouped(entries: Iterable[_Entry], kind: PathMatchKind) -> dict[str, list[_Entry]]:
    groups: dict[str, list[_Entry]] = {}
    for one in entries:
        if one.match.path.kind is kind:
            groups.setdefault(_key(one.match.path), []).append(one)
    return groups


def _key(path: PathMatch) -> str:
    return path.value.rstrip("/") if path.kind is PathMatchKind.PREFIX else path.value


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
