"""HTTPRoutes and GRPCRoutes as the waypoints follow them (Gateway API; GEP-1294 for routes of a Service).

A reference that leads nowhere does not take its route down: its share of the requests is answered with an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from istiod_lite.compile.hosts import hosts_of
from istiod_lite.facts import Service, ServiceEntry
from istiod_lite.facts.route import MirrorRef, Unsupported
from mesh.route import Backend, Mirror, Route, RouteRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import RouteFact
    from istiod_lite.facts.route import BackendRef, FilterFact, ParentRef, Rule
    from istiod_lite.world import World
    from mesh.route import Filter


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a parentRef leads: the service's ports (None for all of them), or the fault in words."""

    parent: ParentRef
    service: Service | ServiceEntry | None
    ports: tuple[int | None, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A backendRef that leads nowhere: the reason of the route's ResolvedRefs condition, and words."""

    reason: str
    message: str


def compile_routes(world: World, fact: RouteFact, settings: Settings) -> Iterator[Route]:
    """The values of one route, one for every service and port it is attached to; each host of a ServiceEntry is one."""
    rules = tuple(_rule(world, rule, settings) for rule in fact.rules)
    seen: set[str] = set()
    for parent in fact.parents:
        attached = attachment(world, parent)
        if attached is None or attached.service is None:
            continue
        for key, port in product(_keys(world, attached.service, settings), attached.ports):
            name = f"{fact.kind.value}/{fact.meta.namespace}/{fact.meta.name}/{key}/{port or '*'}"
            if name not in seen:
                seen.add(name)
                yield Route(
                    key=name,
                    kind=fact.kind,
                    namespace=fact.meta.namespace,
                    name=fact.meta.name,
                    service=key,
                    service_namespace=attached.service.meta.namespace,
                    port=port,
                    created=fact.meta.created,
                    rules=rules,
                )


def attachment(world: World, parent: ParentRef) -> Attachment | None:
    """Where a parentRef leads; None if it names no Service or ServiceEntry, so that it is not for a mesh to answer."""
    if not parent.is_service and not parent.is_service_entry:
        return None
    title = f"{parent.kind} {parent.namespace}/{parent.name}"
    service: Service | ServiceEntry | None
    if parent.is_service:
        service = world.get(Service, parent.namespace, parent.name)
    else:
        service = world.get(ServiceEntry, parent.namespace, parent.name)
    if service is None:
        return Attachment(parent, None, (), f"{title} does not exist")
    if isinstance(service, Service) and service.type == "ExternalName":
        return Attachment(parent, None, (), f"{title} is an ExternalName, which no proxy sees")
    if not parent.port and not parent.section:
        return Attachment(parent, service, (None,))
    ports = tuple(
        one.port
        for one in service.ports
        if one.protocol == "TCP" and parent.port in {0, one.port} and parent.section in {"", one.name}
    )
    if not ports:
        asked = [f"numbered {parent.port}"] * bool(parent.port) + [f"named {parent.section}"] * bool(parent.section)
        return Attachment(parent, None, (), f"{title} has no port {' and '.join(asked)}")
    return Attachment(parent, service, ports)


def unresolved(world: World, reference: BackendRef) -> Unresolved | None:
    """Why a backendRef leads nowhere, None if it does. In a mesh it may cross namespaces without a grant (GEP-1294)."""
    title = f"{reference.namespace}/{reference.name}"
    if reference.is_hostname:
        return _unresolved_host(world, reference)
    if not reference.is_service:
        kind = f"{reference.kind}.{reference.group}" if reference.group else reference.kind
        known = "only Services, and hosts of ServiceEntries (kind Hostname, group networking.istio.io) are supported"
        return Unresolved("InvalidKind", f"backend {kind} {title}: {known}")
    service = world.get(Service, reference.namespace, reference.name)
    if service is None:
        return Unresolved("BackendNotFound", f"Service {title} does not exist")
    if service.type == "ExternalName":
        return Unresolved("InvalidKind", f"Service {title} is an ExternalName, which cannot be a backend")
    if service.port(reference.port) is None:
        return Unresolved("BackendNotFound", f"Service {title} has no TCP port {reference.port}")
    return None


def _unresolved_host(world: World, reference: BackendRef) -> Unresolved | None:
    entry = world.entry_of_host(reference.namespace, reference.name)
    if entry is None:
        message = f"no ServiceEntry in namespace {reference.namespace} has host {reference.name}"
        return Unresolved("BackendNotFound", message)
    if not any(one.port == reference.port and one.protocol == "TCP" for one in entry.ports):
        title = f"{entry.meta.namespace}/{entry.meta.name}"
        return Unresolved("BackendNotFound", f"ServiceEntry {title} has no TCP port {reference.port}")
    if entry.resolution == "NONE":
        return Unresolved("BackendNotFound", f"host {reference.name} has resolution NONE, so it has no endpoints")
    return None


def references(rule: Rule) -> Iterator[BackendRef]:
    """All that a rule sends requests to, mirrors included; what gets no share of them is nothing."""
    for backend in rule.backends:
        if backend.weight:
            yield backend
            yield from (one.backend for one in backend.filters if isinstance(one, MirrorRef))
    yield from (one.backend for one in rule.filters if isinstance(one, MirrorRef))


def unsupported_filters(rule: Rule) -> tuple[str, ...]:
    """The filters of a rule that no waypoint carries out, each in words."""
    own = [f"filter {one.type}" for one in rule.filters if isinstance(one, Unsupported)]
    behind = [
        f"filter {one.type} of backend {backend.name}"
        for backend in rule.backends
        for one in backend.filters
        if isinstance(one, Unsupported)
    ]
    return (*own, *behind)


def _rule(world: World, rule: Rule, settings: Settings) -> RouteRule:
    lacking = [one.type for one in rule.filters if isinstance(one, Unsupported)]
    return RouteRule(
        matches=rule.matches,
        filters=tuple(_filters(world, rule.filters, settings)),
        backends=tuple(_backend(world, one, settings) for one in rule.backends if one.weight),
        timeout=rule.timeout or None,
        backend_timeout=rule.backend_timeout or None,
        retry=rule.retry,
        name=rule.name,
        broken=f"filter {' and '.join(lacking)} is not supported" if lacking else None,
    )


def _filters(world: World, filters: Iterable[FilterFact], settings: Settings) -> Iterator[Filter]:
    """What is carried out of filters. A mirror that leads nowhere is left away, as the API says; the status tells."""
    for one in filters:
        if isinstance(one, MirrorRef):
            to = one.backend
            if unresolved(world, to) is None:
                yield Mirror(_key(to, settings), to.port, one.share)
        elif not isinstance(one, Unsupported):
            yield one


def _backend(world: World, reference: BackendRef, settings: Settings) -> Backend:
    """A backend; one without weight never gets here, for nothing it lacks can matter."""
    lost = unresolved(world, reference)
    lacking = [one.type for one in reference.filters if isinstance(one, Unsupported)]
    broken = f"filter {' and '.join(lacking)} is not supported on a backend" if lacking else None
    return Backend(
        service=_key(reference, settings),
        port=reference.port,
        weight=reference.weight,
        filters=tuple(_filters(world, reference.filters, settings)),
        broken=lost.message if lost is not None else broken,
    )


def _keys(world: World, service: Service | ServiceEntry, settings: Settings) -> tuple[str, ...]:
    """The keys in a snapshot of what a route is attached to."""
    namespace = service.meta.namespace
    if isinstance(service, ServiceEntry):
        return tuple(f"{namespace}/{host}" for host in hosts_of(world, service, settings))
    return (settings.service_key(namespace, service.meta.name),)


def _key(reference: BackendRef, settings: Settings) -> str:
    """The key in a snapshot of a backend; empty for what can never be one."""
    if reference.is_hostname:
        return f"{reference.namespace}/{reference.name}"
    return settings.service_key(reference.namespace, reference.name) if reference.is_service else ""
