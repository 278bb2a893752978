"""What HTTPRoutes and GRPCRoutes have in common: parents, backends, header conditions and filters.

Names follow the Gateway API. Matches and filters are read straight into the values a waypoint works with
(`mesh.route`); references stay as written, for only the compiler knows what they lead to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import re2

from istiod_lite.facts.field import DNS_LABEL, DNS_NAME, GROUP, HEADER_NAME, KIND, NAME, SOME_TEXT
from istiod_lite.facts.metadata import Metadata
from mesh.route import Filter, HeaderModifier, Retry, RouteKind, RouteMatch, ValueMatch

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field

GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
ISTIO_GROUP: Final = "networking.istio.io"
MOST_MATCHES: Final = 128


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A filter that the API allows and no waypoint of ours carries out."""

    type: str


@dataclass(frozen=True, slots=True)
class ParentRef:
    """What a route attaches to, as written but for defaults. `port` 0 and `section` "" mean all."""

    group: str
    kind: str
    namespace: str
    name: str
    section: str
    port: int
    written: tuple[tuple[str, str | int], ...]
    """The fields that were given, for the status entry must repeat them."""

    @property
    def is_service(self) -> bool:
        """Whether it names a Service; the group may be spelled "core", as the website does."""
        return self.kind == "Service" and self.group in {"", "core"}

    @property
    def is_service_entry(self) -> bool:
        """Whether it names a ServiceEntry."""
        return (self.group, self.kind) == (ISTIO_GROUP, "ServiceEntry")


@dataclass(frozen=True, slots=True)
class BackendRef:
    """Where a share of the requests is to go, as written but for defaults."""

    group: str
    kind: str
    namespace: str
    name: str
    port: int
    weight: int
    filters: tuple[FilterFact, ...]

    @property
    def is_service(self) -> bool:
        """Whether it names a Service."""
        return self.kind == "Service" and self.group in {"", "core"}

    @property
    def is_hostname(self) -> bool:
        """Whether it names the host of a ServiceEntry, as Istio has it: a kind of which there are no objects."""
        return (self.group, self.kind) == (ISTIO_GROUP, "Hostname")


@dataclass(frozen=True, slots=True)
class MirrorRef:
    """A RequestMirror filter as written: which service is to get a share of the requests, from 0 to 1, as well."""

    backend: BackendRef
    share: float


FilterFact = Filter | MirrorRef | Unsupported


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a route. Timeouts are seconds, 0 for none wanted, None where nothing was said."""

    name: str
    matches: tuple[RouteMatch, ...]
    filters: tuple[FilterFact, ...]
    backends: tuple[BackendRef, ...]
    timeout: float | None = None
    backend_timeout: float | None = None
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class RouteFact:
    """An HTTPRoute or a GRPCRoute."""

    meta: Metadata
    kind: RouteKind
    parents: tuple[ParentRef, ...]
    hostnames: tuple[str, ...]
    rules: tuple[Rule, ...]


def read_parents(at: Field, namespace: str) -> tuple[ParentRef, ...]:
    """Read `parentRefs`: no two may name the same thing, and several to one object must differ in their section."""
    entries = at.each(32)
    parents = tuple(_read_parent(one, namespace) for one in entries)
    for i, (field, one) in enumerate(zip(entries, parents, strict=True)):
        for other in parents[:i]:
            if (one.group, one.kind, one.namespace, one.name) != (other.group, other.kind, other.namespace, other.name):
                continue
            if one.section == other.section and not (
                one.port != other.port and (one.is_service or one.is_service_entry)
            ):
                field.fault("the same parent is named twice", "keep one, or give each another sectionName")
            elif bool(one.section) != bool(other.section):
                field.fault("two references to one parent must both have a sectionName", "add it to each")
    return parents


def _read_parent(at: Field, namespace: str) -> ParentRef:
    at.knows("group", "kind", "name", "namespace", "port", "sectionName")
    at["name"].required()
    written = {name: at[name].value for name in ("group", "kind", "namespace", "name", "sectionName", "port")}
    return ParentRef(
        group=at["group"].text(shape=GROUP) if at["group"].given else GATEWAY_GROUP,
        kind=at["kind"].text("Gateway", KIND),
        namespace=at["namespace"].text(namespace, DNS_LABEL),
        name=at["name"].text(shape=NAME),
        section=at["sectionName"].text(shape=DNS_NAME),
        port=at["port"].port(),
        written=tuple((name, value) for name, value in written.items() if isinstance(value, str | int)),
    )


def read_backend(at: Field, namespace: str, filters: tuple[FilterFact, ...] = ()) -> BackendRef:
    """Read a reference to a backend; a Service needs a port."""
    at["name"].required()
    group, kind = at["group"].text(shape=GROUP), at["kind"].text("Service", KIND)
    if group == "" and kind == "Service":
        at["port"].required()
    return BackendRef(
        group=group,
        kind=kind,
        namespace=at["namespace"].text(namespace, DNS_LABEL),
        name=at["name"].text(shape=NAME),
        port=at["port"].port(),
        weight=at["weight"].integer(1, 0, 1_000_000),
        filters=filters,
    )


def read_values(at: Field, longest: int, *, header: bool) -> tuple[ValueMatch, ...]:
    """Read conditions on headers (names in lower case) or query parameters; each name once."""
    entries = at.each(16)
    at.differ(entries, lambda one: one["name"].value, "name")
    found: dict[str, ValueMatch] = {}
    for one in entries:
        one.knows("name", "type", "value")
        one["name"].required()
        name, value = one["name"].text(shape=HEADER_NAME), one["value"].text(shape=SOME_TEXT)
        if one["value"].required() and len(value) > longest:
            one["value"].fault(f"{len(value)} characters are too many", f"at most {longest}")
        regex = one["type"].choice(("Exact", "RegularExpression"), "Exact") == "RegularExpression"
        if regex:
            check_pattern(one["value"], value)
        name = name.lower() if header else name
        found.setdefault(name, ValueMatch(name, value, regex))
    return tuple(found.values())


def check_pattern(at: Field, pattern: str) -> None:
    """Check that a regular expression compiles where it will be run (RE2)."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        reason = reason.decode() if isinstance(reason, bytes) else reason
        at.fault(f"{pattern!r} is not a regular expression: {reason}", "write it in RE2's syntax")


def read_modifier(at: Field) -> HeaderModifier:
    """Read a header modifier: set, add, remove."""
    at.knows("add", "remove", "set")
    removed = at["remove"].each(16)
    at.differ(removed, lambda one: one.value, "header")
    return HeaderModifier(
        set=_read_headers(at["set"]),
        add=_read_headers(at["add"]),
        remove=tuple(one.text(shape=HEADER_NAME).lower() for one in removed),
    )


def _read_headers(at: Field) -> tuple[tuple[str, str], ...]:
    entries = at.each(16)
    at.differ(entries, lambda one: str(one["name"].value).lower(), "header")
    pairs: list[tuple[str, str]] = []
    for one in entries:
        one.knows("name", "value")
        one["name"].required()
        one["value"].required()
        value = one["value"].text(shape=SOME_TEXT)
        if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
            one["value"].fault("a header value has no control characters", "take out line breaks")
        pairs.append((one["name"].text(shape=HEADER_NAME).lower(), value))
    return tuple(pairs)


def check_match_count(at: Field, rules: tuple[Rule, ...]) -> None:
    """Check that a route does not have more matches than the API allows."""
    total = sum(len(rule.matches) for rule in rules)
    if total > MOST_MATCHES:
        at.fault(f"the route has {total} matches", f"at most {MOST_MATCHES} in all its rules")
