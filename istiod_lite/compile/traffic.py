"""TrafficPolicies as waypoints keep to them: of several for one Service the oldest is in force, and it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istiod_lite.facts import Service, TrafficPolicy
from mesh import traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite.compile.settings import Settings
    from istiod_lite.world import World


def in_force(world: World) -> Mapping[tuple[str, str], TrafficPolicy]:
    """The policy for each Service, by namespace and name."""
    found: dict[tuple[str, str], TrafficPolicy] = {}
    for policy in sorted(world.all(TrafficPolicy), key=lambda one: one.meta.age):
        for name in policy.services:
            found.setdefault((policy.meta.namespace, name), policy)
    return found


def compile_traffic(world: World, settings: Settings) -> Iterator[traffic.TrafficPolicy]:
    """The policies of Services that exist."""
    for (namespace, name), policy in sorted(in_force(world).items(), key=lambda one: one[0]):
        if world.get(Service, namespace, name) is not None:
            key = settings.service_key(namespace, name)
            yield traffic.TrafficPolicy(key, namespace, policy.meta.name, policy.terms)
