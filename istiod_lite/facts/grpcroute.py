"""GRPCRoutes, by the rules of their CRD (standard channel).

A method match becomes a match on the path `/service/method`, which is what gRPC sends (gRPC over HTTP/2, Requests).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import DNS_NAME, HOSTNAME, Shape
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
from mesh.route import PathMatch, PathMatchKind, RouteKind, RouteMatch

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

_SERVICE: Final = Shape(
    re.compile(r"\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*", re.IGNORECASE), 1024, "a gRPC service such as shop.Cart"
)
_METHOD: Final = Shape(re.compile(r"[A-Za-z_][A-Za-z_0-9]*"), 1024, "a gRPC method such as GetCart")
_FILTER_TYPES: Final = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef")


def read_grpc_route(obj: Object, root: Field) -> RouteFact:
    """Read a GRPCRoute. One without rules matches nothing that could be sent on: its single rule has no backend."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("hostnames", "parentRefs", "rules")
    spec.required()
    rules = spec["rules"].each(16)
    read = tuple(_read_rule(one, obj.namespace) for one in rules) or (Rule("", (RouteMatch(),), (), ()),)
    check_match_count(spec["rules"], read)
    named = [one for one in rules if one["name"].given]
    spec.differ(named, lambda one: one["name"].value, "rule name")
    return RouteFact(
        meta=read_metadata(obj, root),
        kind=RouteKind.GRPC,
        parents=read_parents(spec["parentRefs"], obj.namespace),
        hostnames=spec["hostnames"].texts(HOSTNAME, 16),
        rules=read,
    )


def _read_rule(at: Field, namespace: str) -> Rule:
    at.knows("backendRefs", "filters", "matches", "name")
    backends = at["backendRefs"].each(16)
    for one in backends:
        one.knows("filters", "group", "kind", "name", "namespace", "port", "weight")
    return Rule(
        name=at["name"].text(shape=DNS_NAME),
        matches=tuple(_read_match(one) for one in at["matches"].each(64)) or (RouteMatch(),),
        filters=read_filters(at["filters"], _FILTER_TYPES, namespace),
        backends=tuple(
            read_backend(one, namespace, read_filters(one["filters"], _FILTER_TYPES, namespace)) for one in backends
        ),
    )


def _read_match(at: Field) -> RouteMatch:
    at.knows("headers", "method")
    method = at["method"].knows("method", "service", "type")
    headers = read_values(at["headers"], 4096, header=True)
    if not method.given:
        return RouteMatch(headers=headers)
    if not method["service"].given and not method["method"].given:
        method.fault("a method match names a service, a method or both", "add one")
    if method["type"].choice(("Exact", "RegularExpression"), "Exact") == "RegularExpression":
        return RouteMatch(_pattern_path(method), headers)
    service, name = method["service"].text(shape=_SERVICE), method["method"].text(shape=_METHOD)
    if service and name:
        return RouteMatch(PathMatch(PathMatchKind.EXACT, f"/{service}/{name}"), headers)
    if service:
        return RouteMatch(PathMatch(PathMatchKind.PREFIX, f"/{service}/"), headers)
    return RouteMatch(PathMatch(PathMatchKind.REGEX, f"/[^/]+/{re.escape(name)}"), headers)


def _pattern_path(method: Field) -> PathMatch:
    parts: list[str] = []
    for name in ("service", "method"):
        pattern = method[name].text()
        if pattern:
            check_pattern(method[name], pattern)
        parts.append(f"(?:{pattern})" if pattern else "[^/]+")
    return PathMatch(PathMatchKind.REGEX, "/" + "/".join(parts))
