"""What a waypoint does with a request: the rules of HTTPRoute and GRPCRoute, and the choice among them.

Gateway API, HTTPRouteRule and GRPCRouteRule; for routes of a Service, GEP-1294 and GEP-1324 (producer and consumer).
A gRPC method match is compiled to a match on the path `/service/method`, so that one table serves both kinds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import re2


class RouteKind(Enum):
    """Which resource a route was written as."""

    HTTP = "HTTPRoute"
    GRPC = "GRPCRoute"


class PathMatchKind(Enum):
    """How a path is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


@dataclass(frozen=True, slots=True)
class PathMatch:
    """A condition on the path. A prefix is compared element by element: `/abc` covers `/abc/d` and not `/abcd`."""

    kind: PathMatchKind = PathMatchKind.PREFIX
    value: str = "/"

    def holds(self, path: str) -> bool:
        """Whether `path`, without its query, satisfies the condition."""
        match self.kind:
            case PathMatchKind.EXACT:
                return path == self.value
            case PathMatchKind.PREFIX:
                stem = self.value.rstrip("/")
                return path.startswith(stem) and path[len(stem) : len(stem) + 1] in {"", "/"}
            case PathMatchKind.REGEX:
                return _pattern(self.value).fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A condition on a header (its name in lower case) or a query parameter."""

    name: str
    value: str
    regex: bool = False

    def holds(self, value: str | None) -> bool:
        """Whether the value is there and equal, or fully matched by the pattern."""
        if value is None:
            return False
        return _pattern(self.value).fullmatch(value) is not None if self.regex else value == self.value


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request. Header names are in lower case; `path` has no query."""

    method: str
    authority: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    scheme: str = "http"

    def header(self, name: str) -> str | None:
        """The header's value, several lines of it joined by a comma (RFC 9110, section 5.3)."""
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        if not self.query:
            return None
        pairs = parse_qsl(self.query, keep_blank_values=True)
        return next((value for key, value in pairs if key == name), None)


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Conditions that must all hold."""

    path: PathMatch = PathMatch()
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    method: str | None = None

    def holds(self, head: RequestHead) -> bool:
        """Whether the request satisfies every condition."""
        return (
            (self.method is None or self.method == head.method)
            and self.path.holds(head.path)
            and all(one.holds(head.header(one.name)) for one in self.headers)
            and all(one.holds(head.parameter(one.name)) for one in self.query)
        )


@dataclass(frozen=True, slots=True, order=True)
class Specificity:
    """How narrow a match is, as one ordered key: of two matches that hold, the greater one wins."""

    path_rank: int
    path_length: int
    method: bool
    headers: int
    query: int


_PATH_RANK = {PathMatchKind.REGEX: 0, PathMatchKind.PREFIX: 1, PathMatchKind.EXACT: 2}


def specificity(match: RouteMatch) -> Specificity:
    """The rank of a match in the order that Gateway API gives: path, method, headers, query."""
    return Specificity(
        _PATH_RANK[match.path.kind],
        len(match.path.value),
        match.method is not None,
        len(match.headers),
        len(match.query),
    )


@dataclass(frozen=True, slots=True)
class HeaderModifier:
    """Changes to headers: set overwrites, add appends, remove drops. Names are in lower case."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The RequestHeaderModifier filter."""

    change: HeaderModifier


@dataclass(frozen=True, slots=True)
class ResponseHeaders:
    """The ResponseHeaderModifier filter."""

    change: HeaderModifier


@dataclass(frozen=True, slots=True)
class PathChange:
    """ReplaceFullPath (`prefix` false) or ReplacePrefixMatch, which replaces what the rule's prefix covered."""

    value: str
    prefix: bool


@dataclass(frozen=True, slots=True)
class Redirect:
    """The RequestRedirect filter; None keeps what the request had."""

    scheme: str | None = None
    host: str | None = None
    path: PathChange | None = None
    port: int | None = None
    status: int = 302


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The URLRewrite filter; None keeps what the request had."""

    host: str | None = None
    path: PathChange | None = None


@dataclass(frozen=True, slots=True)
class Cors:
    """The CORS filter: which pages of other origins may use the answers, told to their browsers (Fetch, section 3.2).

    An origin is `*`, or `scheme://host[:port]`, where the host may be `*` or begin with `*.`. Methods and headers that
    are `*` mean all. `max_age` is seconds for which a browser may remember a preflight's answer.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int = 5


@dataclass(frozen=True, slots=True)
class Mirror:
    """The RequestMirror filter: a share of the requests, from 0 to 1, goes to this service too, to no effect."""

    service: str
    """The service's key."""
    port: int
    share: float = 1.0


Filter = RequestHeaders | ResponseHeaders | Redirect | Rewrite | Cors | Mirror


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a share of the requests goes. `broken` says why nobody can be reached by it; its share is answered 500."""

    service: str
    """The service's key, `namespace/hostname`; empty where `broken` is set and no service was meant."""
    port: int
    weight: int = 1
    filters: tuple[Filter, ...] = ()
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is sent once more, and when (GEP-1731): after a failed connection, or one of the codes."""

    attempts: int = 2
    """Attempts after the first."""
    codes: tuple[int, ...] = ()
    """Statuses, from 400 on."""
    backoff: float = 0.025
    """Seconds to wait at least."""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """What is done with requests that one of the matches holds for. Times are seconds; None is no limit."""

    matches: tuple[RouteMatch, ...] = (RouteMatch(),)
    filters: tuple[Filter, ...] = ()
    backends: tuple[Backend, ...] = ()
    timeout: float | None = None
    backend_timeout: float | None = None
    retry: Retry | None = None
    name: str = ""
    broken: str | None = None
    """Why the rule cannot be carried out (a filter that we lack, say); its requests are answered 500."""


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTPRoute or GRPCRoute as attached to one service, on one port or on all."""

    key: str
    """`<kind>/<namespace>/<name>/<service key>/<port or *>`: one route attached twice is two values."""
    kind: RouteKind
    namespace: str
    name: str
    service: str
    """The parent service's key."""
    service_namespace: str
    port: int | None = None
    created: str = ""
    """RFC 3339; the older of two equal matches wins."""
    rules: tuple[RouteRule, ...] = ()

    @property
    def title(self) -> str:
        """`<kind>/<namespace>/<name>`: the same wherever it is attached."""
        return f"{self.kind.value}/{self.namespace}/{self.name}"

    @property
    def producer(self) -> bool:
        """Written by the service's owner, for all callers; else it is a consumer's, for its own namespace."""
        return self.namespace == self.service_namespace


@dataclass(frozen=True, slots=True)
class Choice:
    """The rule that a request goes by, with the match that held."""

    route: Route
    rule: RouteRule
    number: int
    """The rule's place in its route, from 1."""
    match: RouteMatch


def applicable(routes: Iterable[Route], service: str, port: int, caller_namespace: str) -> tuple[Route, ...]:
    """The routes that speak for calls from `caller_namespace` to this port of the service.

    A consumer's routes replace the producer's outright (GEP-1324), and GRPCRoutes displace HTTPRoutes on the same
    port (GEP-1294); within what is left, all rules compete.
    """
    attached = [one for one in routes if one.service == service and one.port in {None, port}]
    consumer = [one for one in attached if not one.producer and one.namespace == caller_namespace]
    group = consumer or [one for one in attached if one.producer]
    grpc = [one for one in group if one.kind is RouteKind.GRPC]
    return tuple(sorted(grpc or group, key=lambda one: (one.created, one.namespace, one.name)))


def best(routes: Iterable[Route], head: RequestHead) -> Choice | None:
    """The rule for this request, or None when nothing matches (which is answered 404).

    `routes` come in order of age then name, as `applicable` gives them: among equally specific matches the first wins.
    """
    chosen: Choice | None = None
    rank: Specificity | None = None
    for route in routes:
        for number, rule in enumerate(route.rules, 1):
            for match in rule.matches:
                own = specificity(match)
                if (rank is None or own > rank) and match.holds(head):
                    chosen, rank = Choice(route, rule, number, match), own
    return chosen


@lru_cache(maxsize=1024)
def _pattern(text: str) -> Any:
    """RE2, so that no pattern of one route can stall the requests of all (its time is linear in the input)."""
    return re2.compile(text)
