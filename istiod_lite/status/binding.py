"""Whether the waypoint that a Service or a ServiceEntry names takes its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istiod_lite.compile.waypoints import BindingState, service_binding
from istiod_lite.status.condition import Condition

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import Service, ServiceEntry
    from istiod_lite.world import World


def waypoint_bound(world: World, service: Service | ServiceEntry, settings: Settings) -> Condition | None:
    """The condition that Istio has for it; None if it names no waypoint."""
    binding = service_binding(world, service, settings)
    if binding is None:
        return None
    ready = binding.state is BindingState.READY
    return Condition("istio.io/WaypointBound", holds=ready, reason=binding.state.value, message=binding.message)
