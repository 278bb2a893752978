"""TrafficPolicies and DestinationRules as waypoints keep to them.

Of several for one target the oldest is in force, and it alone; a TrafficPolicy goes before a DestinationRule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from istiod_lite.compile.hosts import hosts_of
from istiod_lite.compile.routes import attachment, compile_routes
from istiod_lite.facts import DestinationRule, RouteFact, Service, ServiceEntry, TrafficPolicy
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
    for key, rule in sorted(rules_in_force(world, settings).items(), key=lambda one: one[0]):
        if isinstance(rule, DestinationRule):
            meta = rule.meta
            yield traffic.TrafficPolicy(key, meta.namespace, meta.name, rule.terms, kind="DestinationRule")
    for (namespace, target), policy in sorted(in_force(world).items(), key=lambda one: (one[0][0], one[0][1].title)):
        for service in _services(world, namespace, target, settings):
            route = f"{target.kind}/{namespace}/{target.name}" if target.is_route else ""
            yield traffic.TrafficPolicy(service, namespace, policy.meta.name, policy.terms, route)


def rules_in_force(world: World, settings: Settings) -> Mapping[str, DestinationRule | TrafficPolicy]:
    """What counts for each service that has a DestinationRule, by the service's key."""
    policies = {
        service: policy
        for (namespace, target), policy in in_force(world).items()
        if not target.is_route
        for service in _services(world, namespace, target, settings)
    }
    found: dict[str, DestinationRule | TrafficPolicy] = {}
    for rule in sorted(world.all(DestinationRule), key=lambda one: one.meta.age):
        if (target := targeted(world, rule, settings)) is not None:
            found.setdefault(target[1], policies.get(target[1], rule))
    return found


def targeted(world: World, rule: DestinationRule, settings: Settings) -> tuple[Service | ServiceEntry, str] | None:
    """The service of the rule's own namespace that has its host, and the service's key; None if there is none."""
    namespace, host = rule.meta.namespace, rule.host
    name, dot, _ = host.partition(".")
    key = f"{namespace}/{host}" if dot else settings.service_key(namespace, name)
    service = world.get(Service, namespace, name)
    if service is not None and settings.service_key(namespace, name) == key:
        return service, key
    entry = world.entry_of_host(namespace, host)
    if entry is not None and host in hosts_of(world, entry, settings):
        return entry, f"{namespace}/{host}"
    return None


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
