"""HTTPRoutes, by the rules of their CRD (standard channel) and with the defaults an API server would apply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import DNS_NAME, HOSTNAME
from istiod_lite.facts.filter import read_filters
from istiod_lite.facts.metadata import read_metadata
from istiod_lite.facts.route import (
    RouteFact,
    Rule,
    check_match_count,
    check_pattern,
    read_backend,
    read_parents,
    read_values,
)
from mesh.route import PathMatch, PathMatchKind, Retry, RouteKind, RouteMatch

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_PATH_KINDS: Final = {
    "Exact": PathMatchKind.EXACT,
    "PathPrefix": PathMatchKind.PREFIX,
    "RegularExpression": PathMatchKind.REGEX,
}
_MOST_ATTEMPTS: Final = 100
_PATH: Final = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_FILTER_TYPES: Final = (
    "RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite",
    "ExtensionRef", "CORS",
)  # fmt: skip


def read_http_route(obj: Object, root: Field) -> RouteFact:
    """Read an HTTPRoute. One without rules sends nothing anywhere: its single rule matches all and has no backend."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("hostnames", "parentRefs", "rules")
    spec.required()
    rules = spec["rules"].each(16, 1)
    read = tuple(_read_rule(one, obj.namespace) for one in rules) or (Rule("", (RouteMatch(),), (), ()),)
    check_match_count(spec["rules"], read)
    named = [one for one in rules if one["name"].given]
    spec.differ(named, lambda one: one["name"].value, "rule name")
    return RouteFact(
        meta=read_metadata(obj, root),
        kind=RouteKind.HTTP,
        parents=read_parents(spec["parentRefs"], obj.namespace),
        hostnames=spec["hostnames"].texts(HOSTNAME, 16),
        rules=read,
    )


def _read_rule(at: Field, namespace: str) -> Rule:
    at.knows("backendRefs", "filters", "matches", "name", "retry", "timeouts")
    matches = tuple(_read_match(one) for one in at["matches"].each(64)) or (RouteMatch(),)
    only_prefix = len(matches) == 1 and matches[0].path.kind is PathMatchKind.PREFIX
    filters = read_filters(at["filters"], _FILTER_TYPES, namespace, only_prefix=only_prefix)
    backends = at["backendRefs"].each(16)
    if backends and any(one["requestRedirect"].given for one in at["filters"].each()):
        at["backendRefs"].fault("a rule that redirects has no backends", "keep the redirect or the backends")
    for one in backends:
        one.knows("filters", "group", "kind", "name", "namespace", "port", "weight")
    timeouts = at["timeouts"].knows("backendRequest", "request")
    whole, single = timeouts["request"].duration(), timeouts["backendRequest"].duration()
    if whole and single and single > whole:
        timeouts["backendRequest"].fault("one try may not last longer than the whole request", "lower it")
    return Rule(
        name=at["name"].text(shape=DNS_NAME),
        matches=matches,
        filters=filters,
        backends=tuple(
            read_backend(
                one, namespace, read_filters(one["filters"], _FILTER_TYPES, namespace, only_prefix=only_prefix)
            )
            for one in backends
        ),
        timeout=whole,
        backend_timeout=single,
        retry=_read_retry(at["retry"]),
    )


def _read_retry(at: Field) -> Retry | None:
    """Read `retry`, which stands in the API's experimental channel only."""
    if not at.given:
        return None
    at.knows("attempts", "backoff", "codes")
    codes = at["codes"].each()
    at.differ(codes, lambda one: one.value, "code")
    backoff = at["backoff"].duration()
    return Retry(
        attempts=at["attempts"].integer(Retry().attempts, 1, _MOST_ATTEMPTS),
        codes=tuple(one.integer(503, 400, 599) for one in codes),
        backoff=Retry().backoff if backoff is None else backoff,
    )


def _read_match(at: Field) -> RouteMatch:
    at.knows("headers", "method", "path", "queryParams")
    return RouteMatch(
        path=_read_path(at["path"]),
        headers=read_values(at["headers"], 4096, header=True),
        query=read_values(at["queryParams"], 1024, header=False),
        method=at["method"].choice(METHODS) or None,
    )


def _read_path(at: Field) -> PathMatch:
    at.knows("type", "value")
    kind, value = _PATH_KINDS[at["type"].choice(_PATH_KINDS, "PathPrefix")], at["value"].text("/")
    if kind is PathMatchKind.REGEX:
        check_pattern(at["value"], value)
    elif not value.startswith("/"):
        at["value"].fault(f"{value!r} is not an absolute path", "begin with '/'")
    elif bad := next((part for part in ("//", "/./", "/../", "%2f", "%2F", "#") if part in value), None):
        at["value"].fault(f"a path may not contain {bad!r}", "write the path as it arrives after normalisation")
    elif value.endswith(("/.", "/..")):
        at["value"].fault("a path may not end in '/.' or '/..'", "write the path it stands for")
    elif not _PATH.fullmatch(value):
        at["value"].fault(f"{value!r} has characters that no path has", "percent-encode them")
    elif len(value) > 1024:
        at["value"].fault(f"{len(value)} characters are too many", "at most 1024")
    return PathMatch(kind, value)
