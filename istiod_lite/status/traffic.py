"""The status of TrafficPolicies, by Gateway API's policy attachment (GEP-713): an ancestor for each target.

Accepted is true only where a waypoint is there to keep to the policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istiod_lite.compile.traffic import in_force, subjects
from istiod_lite.compile.waypoints import WAYPOINT_CONTROLLER, BindingState, service_binding
from istiod_lite.status.condition import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import Service, ServiceEntry, TrafficPolicy
    from istiod_lite.facts.trafficpolicy import PolicyTarget
    from istiod_lite.status.condition import Moment
    from istiod_lite.world import World

Status = dict[str, Any]


class TrafficStatuses:
    """What the statuses of all TrafficPolicies have in common."""

    def __init__(self, world: World, settings: Settings, moment: Moment) -> None:
        self._world = world
        self._settings = settings
        self._moment = moment
        self._in_force = in_force(world)

    def status(self, policy: TrafficPolicy, former: Status) -> Status:
        """The status of one TrafficPolicy."""
        refs = ((one["ancestorRef"], one["conditions"]) for one in former.get("ancestors", ()))
        old = {(ref.get("kind"), ref["name"]): conditions for ref, conditions in refs}
        generation = policy.meta.generation
        return {
            "ancestors": [
                {
                    "ancestorRef": {"group": target.group, "kind": target.kind, "name": target.name},
                    "controllerName": WAYPOINT_CONTROLLER,
                    "conditions": self._moment.written(
                        [self._accepted(policy, target)], generation, old.get((target.kind, target.name))
                    ),
                }
                for target in policy.targets
            ]
        }

    def _accepted(self, policy: TrafficPolicy, target: PolicyTarget) -> Condition:
        namespace = policy.meta.namespace
        title = f"{target.kind} {namespace}/{target.name}"
        services = subjects(self._world, namespace, target)
        if services is None:
            return _refused("TargetNotFound", f"{title} was not found")
        other = self._in_force[namespace, target]
        if other is not policy:
            return _refused("Conflicted", f"{title} has an older TrafficPolicy, {other.meta.name}, which is in force")
        return kept(self._world, services, title, self._settings)


def kept(world: World, services: Iterable[Service | ServiceEntry], title: str, settings: Settings) -> Condition:
    """Whether a waypoint keeps to what is said of these services, which people know as `title`."""
    bindings = [found for one in services if (found := service_binding(world, one, settings)) is not None]
    if not bindings:
        return _refused("AncestorNotBound", f"{title} has no waypoint, so that nobody keeps to what is said of it")
    binding = next((one for one in bindings if one.state is BindingState.READY), bindings[0])
    if binding.state is not BindingState.READY:
        return _refused(binding.state.value, binding.message)
    return Condition("Accepted", holds=True, reason="Accepted", message=f"kept to by the waypoint of {title}")


def _refused(reason: str, message: str) -> Condition:
    return Condition("Accepted", holds=False, reason=reason, message=message)
