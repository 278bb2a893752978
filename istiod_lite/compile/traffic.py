"""TrafficPolicies as waypoints keep to them: of several for one target the oldest is in force, and it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istiod_lite.compile.hosts import hosts_of
from istiod_lite.compile.routes import attachment, compile_routes
from istiod_lite.facts import RouteFact, Service, ServiceEntry, TrafficPolicy
from istiod_lite.facts.route import GATEWAY_GROUP
from istiod_lite.object import ObjectKey
from mesh import traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts.trafficpolicy import PolicyTarget
    from istiod_lite.world import World

Targeted = tuple[str, "PolicyTarget"]
"""A target and its namespace, which is the policy's own."""


def in_force(world: World) -> Mapping[Targeted, TrafficPolicy]:
    """The policy for each target."""
    found: dict[Targeted, TrafficPolicy] = {}
    for policy in sorted(world.all(TrafficPolicy), key=lambda one: one.meta.age):
        for target in policy.targets:
            found.setdefault((policy.meta.namespace, target), policy)
    return found


def compile_traffic(world: World, settings: Settings) -> Iterator[traffic.TrafficPolicy]:
    """The policies of targets that exist, one for every service that a target is, or is attached to."""
    for (namespace, target), policy in sorted(in_force(world).items(), key=lambda one: (one[0][0], one[0][1].title)):
        for service in _services(world, namespace, target, settings):
            route = f"{target.kind}/{namespace}/{target.name}" if target.is_route else ""
            yield traffic.TrafficPolicy(service, namespace, policy.meta.name, policy.terms, route)


def subjects(world: World, namespace: str, target: PolicyTarget) -> tuple[Service | ServiceEntry, ...] | None:
    """The services that a target is, or, for a route, that it is attached to; None if there is no such target."""
    if target.is_route:
        fact = _route(world, namespace, target)
        if fact is None:
            return None
        found = (attachment(world, parent) for parent in fact.parents)
        return tuple(one.service for one in found if one is not None and one.service is not None)
    service: Service | ServiceEntry | None
    if target.kind == "ServiceEntry":
        service = world.get(ServiceEntry, namespace, target.name)
    else:
        service = world.get(Service, namespace, target.name)
    return (service,) if service is not None else None


def _services(world: World, namespace: str, target: PolicyTarget, settings: Settings) -> list[str]:
    """The keys of the services that a policy for this target counts for."""
    if target.is_route:
        fact = _route(world, namespace, target)
        return sorted({one.service for one in compile_routes(world, fact, settings)}) if fact is not None else []
    found = subjects(world, namespace, target) or ()
    keys: list[str] = []
    for one in found:
        if isinstance(one, ServiceEntry):
            keys += (f"{namespace}/{host}" for host in hosts_of(world, one, settings))
        else:
            keys.append(settings.service_key(namespace, one.meta.name))
    return keys


def _route(world: World, namespace: str, target: PolicyTarget) -> RouteFact | None:
    fact = world.facts.get(ObjectKey(GATEWAY_GROUP, target.kind, namespace, target.name))
    return fact if isinstance(fact, RouteFact) else None
