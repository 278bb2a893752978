"""The status of TrafficPolicies, by Gateway API's policy attachment (GEP-713): an ancestor for each target.

Accepted is true only where a waypoint is there to keep to the policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istiod_lite.compile.traffic import in_force
from istiod_lite.compile.waypoints import WAYPOINT_CONTROLLER, BindingState, service_binding
from istiod_lite.facts import Service
from istiod_lite.status.condition import Condition

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import TrafficPolicy
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
        old = {one["ancestorRef"]["name"]: one["conditions"] for one in former.get("ancestors", ())}
        generation = policy.meta.generation
        return {
            "ancestors": [
                {
                    "ancestorRef": {"group": "", "kind": "Service", "name": name},
                    "controllerName": WAYPOINT_CONTROLLER,
                    "conditions": self._moment.written([self._accepted(policy, name)], generation, old.get(name)),
                }
                for name in policy.services
            ]
        }

    def _accepted(self, policy: TrafficPolicy, name: str) -> Condition:
        namespace = policy.meta.namespace
        title = f"Service {namespace}/{name}"
        service = self._world.get(Service, namespace, name)
        if service is None:
            return _refused("TargetNotFound", f"{title} was not found")
        other = self._in_force[namespace, name]
        if other is not policy:
            return _refused("Conflicted", f"{title} has an older TrafficPolicy, {other.meta.name}, which is in force")
        binding = service_binding(self._world, service, self._settings)
        if binding is None:
            return _refused("AncestorNotBound", f"{title} is not bound to a waypoint, so that nothing is limited")
        if binding.state is not BindingState.READY:
            return _refused(binding.state.value, binding.message)
        return Condition("Accepted", holds=True, reason="Accepted", message=f"kept to by the waypoint of {title}")


def _refused(reason: str, message: str) -> Condition:
    return Condition("Accepted", holds=False, reason=reason, message=message)
