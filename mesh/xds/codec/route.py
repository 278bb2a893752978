"""Routes as `ambit.waypoint.Route`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh.route import (
    Backend,
    Cors,
    Filter,
    HeaderModifier,
    Mirror,
    PathChange,
    PathMatch,
    PathMatchKind,
    Redirect,
    RequestHeaders,
    ResponseHeaders,
    Retry,
    Rewrite,
    Route,
    RouteKind,
    RouteMatch,
    RouteRule,
    ValueMatch,
)
from mesh.xds.pb import waypoint_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS: Final = {RouteKind.HTTP: pb.RouteKind.HTTP_ROUTE, RouteKind.GRPC: pb.RouteKind.GRPC_ROUTE}
_KIND_OF: Final[dict[int, RouteKind]] = {number: kind for kind, number in _KINDS.items()}


def route_message(route: Route) -> pb.Route:
    """The route."""
    return pb.Route(
        key=route.key,
        kind=_KINDS[route.kind],
        namespace=route.namespace,
        name=route.name,
        service=route.service,
        service_namespace=route.service_namespace,
        port=route.port,
        created=route.created,
        rules=map(_rule_message, route.rules),
    )


def read_route(message: pb.Route) -> Route:
    """The route; ValueError with the reason if it cannot be relied on."""
    if message.kind not in _KIND_OF:
        raise ValueError(f"unknown kind of route {message.kind}")
    return Route(
        key=message.key,
        kind=_KIND_OF[message.kind],
        namespace=message.namespace,
        name=message.name,
        service=message.service,
        service_namespace=message.service_namespace,
        port=_port(message.port) if message.HasField("port") else None,
        created=message.created,
        rules=tuple(map(_rule, message.rules)),
    )


def _rule_message(rule: RouteRule) -> pb.RouteRule:
    return pb.RouteRule(
        matches=map(_match_message, rule.matches),
        filters=map(_filter_message, rule.filters),
        backends=map(_backend_message, rule.backends),
        timeout=rule.timeout,
        backend_timeout=rule.backend_timeout,
        retry=_retry_message(rule.retry),
        name=rule.name,
        broken=rule.broken,
    )


def _rule(message: pb.RouteRule) -> RouteRule:
    return RouteRule(
        matches=tuple(map(_match, message.matches)),
        filters=tuple(map(_filter, message.filters)),
        backends=tuple(map(_backend, message.backends)),
        timeout=message.timeout if message.HasField("timeout") else None,
        backend_timeout=message.backend_timeout if message.HasField("backend_timeout") else None,
        retry=_retry(message.retry) if message.HasField("retry") else None,
        name=message.name,
        broken=message.broken if message.HasField("broken") else None,
    )


def _retry_message(retry: Retry | None) -> pb.Retry | None:
    return None if retry is None else pb.Retry(attempts=retry.attempts, codes=retry.codes, backoff=retry.backoff)


def _retry(message: pb.Retry) -> Retry:
    return Retry(message.attempts, tuple(message.codes), message.backoff)


def _match_message(match: RouteMatch) -> pb.RouteMatch:
    return pb.RouteMatch(
        path=pb.PathMatch(**{match.path.kind.value: match.path.value}),
        headers=map(_value_message, match.headers),
        query=map(_value_message, match.query),
        method=match.method,
    )


def _match(message: pb.RouteMatch) -> RouteMatch:
    kind = message.path.WhichOneof("kind")
    if kind is None:
        raise ValueError("a match on the path that says nothing, or something unknown")
    return RouteMatch(
        path=PathMatch(PathMatchKind(kind), getattr(message.path, kind)),
        headers=tuple(map(_value, message.headers)),
        query=tuple(map(_value, message.query)),
        method=message.method if message.HasField("method") else None,
    )


def _value_message(match: ValueMatch) -> pb.ValueMatch:
    return pb.ValueMatch(name=match.name, value=match.value, regex=match.regex)


def _value(message: pb.ValueMatch) -> ValueMatch:
    return ValueMatch(message.name, message.value, message.regex)


def _filter_message(one: Filter) -> pb.Filter:
    match one:
        case RequestHeaders(change):
            return pb.Filter(request_headers=_modifier_message(change))
        case ResponseHeaders(change):
            return pb.Filter(response_headers=_modifier_message(change))
        case Redirect():
            redirect = pb.Redirect(
                scheme=one.scheme, host=one.host, path=_path_message(one.path), port=one.port, status=one.status
            )
            return pb.Filter(redirect=redirect)
        case Rewrite():
            return pb.Filter(rewrite=pb.Rewrite(host=one.host, path=_path_message(one.path)))
        case Cors():
            return pb.Filter(cors=_cors_message(one))
        case Mirror():
            return pb.Filter(mirror=pb.Mirror(service=one.service, port=one.port, share=one.share))


def _filter(message: pb.Filter) -> Filter:
    """The filter. One that is unknown must not be skipped (Gateway API, HTTPRouteFilter)."""
    match message.WhichOneof("kind"):
        case "request_headers":
            return RequestHeaders(_modifier(message.request_headers))
        case "response_headers":
            return ResponseHeaders(_modifier(message.response_headers))
        case "redirect":
            return _redirect(message.redirect)
        case "rewrite":
            rewrite = message.rewrite
            return Rewrite(
                host=rewrite.host if rewrite.HasField("host") else None,
                path=_path(rewrite.path) if rewrite.HasField("path") else None,
            )
        case "cors":
            return _cors(message.cors)
        case "mirror":
            return Mirror(message.mirror.service, _port(message.mirror.port), message.mirror.share)
        case _:
            raise ValueError("a filter that says nothing, or something unknown")


def _redirect(message: pb.Redirect) -> Redirect:
    if not 300 <= message.status < 400:
        raise ValueError(f"{message.status} is no status of a redirect")
    return Redirect(
        scheme=message.scheme if message.HasField("scheme") else None,
        host=message.host if message.HasField("host") else None,
        path=_path(message.path) if message.HasField("path") else None,
        port=_port(message.port) if message.HasField("port") else None,
        status=message.status,
    )


def _cors_message(cors: Cors) -> pb.Cors:
    return pb.Cors(
        origins=cors.origins,
        methods=cors.methods,
        headers=cors.headers,
        exposed=cors.exposed,
        credentials=cors.credentials,
        max_age=cors.max_age,
    )


def _cors(message: pb.Cors) -> Cors:
    return Cors(
        origins=tuple(message.origins),
        methods=tuple(message.methods),
        headers=tuple(message.headers),
        exposed=tuple(message.exposed),
        credentials=message.credentials,
        max_age=message.max_age,
    )


def _path_message(change: PathChange | None) -> pb.PathChange | None:
    return None if change is None else pb.PathChange(value=change.value, prefix=change.prefix)


def _path(message: pb.PathChange) -> PathChange:
    return PathChange(message.value, message.prefix)


def _modifier_message(change: HeaderModifier) -> pb.HeaderModifier:
    return pb.HeaderModifier(set=_header_messages(change.set), add=_header_messages(change.add), remove=change.remove)


def _modifier(message: pb.HeaderModifier) -> HeaderModifier:
    return HeaderModifier(_headers(message.set), _headers(message.add), tuple(message.remove))


def _header_messages(headers: Iterable[tuple[str, str]]) -> list[pb.Header]:
    return [pb.Header(name=name, value=value) for name, value in headers]


def _headers(messages: Iterable[pb.Header]) -> tuple[tuple[str, str], ...]:
    return tuple((one.name, one.value) for one in messages)


def _backend_message(backend: Backend) -> pb.Backend:
    return pb.Backend(
        service=backend.service,
        port=backend.port,
        weight=backend.weight,
        filters=map(_filter_message, backend.filters),
        broken=backend.broken,
    )


def _backend(message: pb.Backend) -> Backend:
    return Backend(
        service=message.service,
        port=_port(message.port),
        weight=message.weight,
        filters=tuple(map(_filter, message.filters)),
        broken=message.broken if message.HasField("broken") else None,
    )


def _port(number: int) -> int:
    if number > 65535:
        raise ValueError(f"{number} is no port")
    return number
