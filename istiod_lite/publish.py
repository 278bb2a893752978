"""From a snapshot to what is served: the catalog of resources, and who may see which of them.

A waypoint sees the routes and traffic policies of the services that it serves, and the policies and request
authentications that are attached to it, to such a service or to all waypoints. Everything else is for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mesh.authentication import RequestAuthentication
from mesh.policy import Policy, Scope, Target
from mesh.route import Route
from mesh.snapshot import Snapshot, key_of
from mesh.traffic import TrafficPolicy
from mesh.workload import GatewayAddress, NamespacedHostname, Service, Workload
from mesh.xds import resource as wire
from mesh.xds.codec import encode, type_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.snapshot import Resource

_NOBODY: Final[frozenset[str]] = frozenset()
_TYPES: Final = wire.WAYPOINT_TYPES


@dataclass(frozen=True, slots=True)
class Publication:
    """What is served at one moment, and what changed since the moment before: names by type."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    catalog: wire.Catalog = field(default_factory=lambda: {url: wire.Shelf() for url in _TYPES})
    changes: Mapping[str, frozenset[str]] = field(default_factory=dict)


def publish(snapshot: Snapshot, before: Publication, service_key: Callable[[str, str], str]) -> Publication:
    """The next publication. Resources whose value and audience are as before are not encoded again.

    `service_key` gives a service's key from its namespace and name, which is what policies state.
    """
    shelves: dict[str, dict[str, wire.Resource]] = {url: {} for url in _TYPES}
    for value in snapshot.resources():
        audience = _audience(value, snapshot, service_key)
        one = _unchanged(value, audience, before) or encode(value, audience)
        shelves[type_of(value)][one.name] = one
    catalog = {url: wire.Shelf(found) for url, found in shelves.items()}
    changes = {url: names for url in _TYPES if (names := wire.changed(before.catalog[url], catalog[url]))}
    return Publication(snapshot, catalog, changes)


def waypoint_of(gateway: GatewayAddress | None) -> str | None:
    """The `namespace/name` of the Gateway behind a waypoint's address; its Service bears the same name."""
    if gateway is None or not isinstance(gateway.destination, NamespacedHostname):
        return None
    return f"{gateway.destination.namespace}/{gateway.destination.hostname.partition('.')[0]}"


def _unchanged(value: Resource, audience: frozenset[str] | None, before: Publication) -> wire.Resource | None:
    name = key_of(value)
    held = before.catalog[type_of(value)].resources.get(name)
    same = held is not None and held.audience == audience and _former(value, before.snapshot) == value
    return held if same else None


def _former(value: Resource, snapshot: Snapshot) -> Resource | None:
    match value:
        case Workload():
            return snapshot.workloads.get(value.uid)
        case Service():
            return snapshot.services.get(value.key)
        case Policy():
            return snapshot.policies.get(value.key)
        case Route():
            return snapshot.routes.get(value.key)
        case TrafficPolicy():
            return snapshot.traffic.get(value.key)
        case RequestAuthentication():
            return snapshot.authentications.get(value.key)


def _audience(value: Resource, snapshot: Snapshot, service_key: Callable[[str, str], str]) -> frozenset[str] | None:
    match value:
        case Route() | TrafficPolicy():
            return _serving(value.service, snapshot)
        case Policy(scope=Scope.TARGET) | RequestAuthentication():
            seen: set[str] = set()
            for target in value.targets:
                match target.kind:
                    case "GatewayClass":
                        return None
                    case "Gateway":
                        seen.add(f"{target.namespace}/{target.name}")
                    case "ServiceEntry":
                        seen |= _serving_entry(target, snapshot)
                    case _:
                        seen |= _serving(service_key(target.namespace, target.name), snapshot)
            return frozenset(seen)
        case _:
            return None


def _serving_entry(target: Target, snapshot: Snapshot) -> frozenset[str]:
    """The waypoints of the services that a ServiceEntry has become, one for each of its hosts."""
    own = (one for one in snapshot.services.values() if (one.namespace, one.name) == (target.namespace, target.name))
    return frozenset().union(*(_serving(one.key, snapshot) for one in own if not one.canonical))


def _serving(service: str, snapshot: Snapshot) -> frozenset[str]:
    """The waypoint of the service with this key, if it has one."""
    found = snapshot.services.get(service)
    waypoint = waypoint_of(found.waypoint) if found is not None else None
    return frozenset({waypoint}) if waypoint is not None else _NOBODY
