"""Filters of routes, by the rules of the HTTPRoute and GRPCRoute CRDs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import DNS_NAME, GROUP, HEADER_NAME, KIND, NAME, Shape
from istiod_lite.facts.route import FilterFact, MirrorRef, Unsupported, read_backend, read_modifier
from mesh.route import Cors, PathChange, Redirect, RequestHeaders, ResponseHeaders, Rewrite

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field

_BODY: Final = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "ExtensionRef": "extensionRef",
    "CORS": "cors",
}
_REPEATABLE: Final = ("RequestMirror", "ExtensionRef")
_ORIGIN: Final = Shape(
    re.compile(r"\*|https?://(\*|(\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+)(:[0-9]{1,5})?"),
    253,
    "'*' or an origin such as https://shop.example, https://*.shop.example or http://localhost:8080",
)
_ORIGIN_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*")


def read_filters(
    at: Field, types: tuple[str, ...], namespace: str, *, only_prefix: bool = False
) -> tuple[FilterFact, ...]:
    """Read a list of filters of the given types.

    `only_prefix` says that the rule has exactly one match, on a path prefix; only then a prefix can be replaced.
    """
    entries = at.each(16)
    read = tuple(_read_filter(one, types, namespace, only_prefix=only_prefix) for one in entries)
    single = [one for one in entries if one["type"].value not in _REPEATABLE]
    at.differ(single, lambda one: one["type"].value, "filter type")
    types_given = [one["type"].value for one in entries]
    if "RequestRedirect" in types_given and "URLRewrite" in types_given:
        at.fault("a request is redirected or rewritten, not both", "keep one of the two filters")
    return read


def _read_filter(at: Field, types: tuple[str, ...], namespace: str, *, only_prefix: bool) -> FilterFact:
    at.knows("type", *(_BODY[name] for name in types))
    at["type"].required()
    kind = at["type"].choice(types)
    for name in types:
        body = at[_BODY[name]]
        if body.given and kind and name != kind:
            body.fault(f"this does not belong to a filter of type {kind}", f"take it away or write type: {name}")
    if not kind or not at[_BODY[kind]].required():
        return Unsupported(kind)
    return _read_body(kind, at[_BODY[kind]], namespace, only_prefix=only_prefix)


def _read_body(kind: str, body: Field, namespace: str, *, only_prefix: bool) -> FilterFact:
    read: FilterFact
    match kind:
        case "RequestHeaderModifier":
            read = RequestHeaders(read_modifier(body))
        case "ResponseHeaderModifier":
            read = ResponseHeaders(read_modifier(body))
        case "RequestRedirect":
            read = _read_redirect(body, only_prefix=only_prefix)
        case "URLRewrite":
            read = _read_rewrite(body, only_prefix=only_prefix)
        case "RequestMirror":
            read = _read_mirror(body, namespace)
        case "CORS":
            read = _read_cors(body)
        case _:
            _check_extension(body)
            read = Unsupported(kind)
    return read


def _check_extension(at: Field) -> None:
    at.knows("group", "kind", "name")
    for name, shape in (("group", GROUP), ("kind", KIND), ("name", NAME)):
        at[name].required()
        at[name].text(shape=shape)


def _read_rewrite(at: Field, *, only_prefix: bool) -> Rewrite:
    at.knows("hostname", "path")
    host = at["hostname"].text(shape=DNS_NAME) or None
    return Rewrite(host, _read_path_change(at["path"], only_prefix=only_prefix))


def _read_redirect(at: Field, *, only_prefix: bool) -> Redirect:
    at.knows("hostname", "path", "port", "scheme", "statusCode")
    status = at["statusCode"].integer(302, 301, 308)
    if status not in {301, 302, 303, 307, 308}:
        at["statusCode"].fault(f"{status} is not a redirect", "one of 301, 302, 303, 307, 308")
    return Redirect(
        scheme=at["scheme"].choice(("http", "https")) or None,
        host=at["hostname"].text(shape=DNS_NAME) or None,
        path=_read_path_change(at["path"], only_prefix=only_prefix),
        port=at["port"].port() or None,
        status=status,
    )


def _read_path_change(at: Field, *, only_prefix: bool) -> PathChange | None:
    if not at.given:
        return None
    at.knows("replaceFullPath", "replacePrefixMatch", "type")
    at["type"].required()
    kind = at["type"].choice(("ReplaceFullPath", "ReplacePrefixMatch"), "ReplaceFullPath")
    fields = {"ReplaceFullPath": at["replaceFullPath"], "ReplacePrefixMatch": at["replacePrefixMatch"]}
    value = fields.pop(kind)
    value.required()
    for name, other in fields.items():
        if other.given:
            other.fault(f"this does not belong to type {kind}", f"take it away or write type: {name}")
    if kind == "ReplacePrefixMatch" and not only_prefix:
        at.fault("there is no single path prefix to replace", "give the rule exactly one match, of type PathPrefix")
    return PathChange(value.value if value.value == "" else value.text(shape=NAME), kind == "ReplacePrefixMatch")


def _read_mirror(at: Field, namespace: str) -> MirrorRef:
    at.knows("backendRef", "fraction", "percent")
    at["backendRef"].required()
    backend = read_backend(at["backendRef"].knows("group", "kind", "name", "namespace", "port"), namespace)
    percent = at["percent"].integer(100, 0, 100)
    fraction = at["fraction"].knows("denominator", "numerator")
    if not fraction.given:
        return MirrorRef(backend, percent / 100)
    if at["percent"].given:
        at["percent"].fault("there is a fraction already", "keep percent or fraction")
    fraction["numerator"].required()
    part, whole = fraction["numerator"].integer(0, 0, 1 << 31), fraction["denominator"].integer(100, 1, 1 << 31)
    if part > whole:
        fraction.fault(f"{part} of {whole} is more than all", "lower the numerator")
    return MirrorRef(backend, part / whole)


def _read_cors(at: Field) -> Cors:
    at.knows("allowCredentials", "allowHeaders", "allowMethods", "allowOrigins", "exposeHeaders", "maxAge")
    for name in ("allowHeaders", "allowMethods", "allowOrigins"):
        values = [one.value for one in at[name].each()]
        if "*" in values and len(values) > 1:
            at[name].fault("'*' says all already", "leave it alone or take it away")
    return Cors(
        origins=at["allowOrigins"].texts(_ORIGIN, 64),
        methods=tuple(one.choice(_ORIGIN_METHODS) for one in at["allowMethods"].each(10)),
        headers=at["allowHeaders"].texts(HEADER_NAME, 64),
        exposed=at["exposeHeaders"].texts(HEADER_NAME, 64),
        credentials=at["allowCredentials"].boolean(),
        max_age=at["maxAge"].integer(5, 1, 1 << 31),
    )
