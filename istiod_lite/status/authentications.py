"""The status of RequestAuthentications: which waypoints verify tokens by them, and whether they can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istiod_lite.status.condition import Condition
from istiod_lite.status.policies import WAYPOINT, by_waypoint

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import RequestAuthentication
    from istiod_lite.status.condition import Moment
    from istiod_lite.world import World

Status = dict[str, Any]


def authentication_status(
    world: World, fact: RequestAuthentication, settings: Settings, moment: Moment, former: Status
) -> Status:
    """The status of one RequestAuthentication."""
    condition = _condition(world, fact, settings)
    return {"conditions": moment.written([condition], fact.meta.generation, former.get("conditions"))}


def _condition(world: World, fact: RequestAuthentication, settings: Settings) -> Condition:
    if fact.fault:
        message = f"it cannot be read, so no token is valid: {fact.fault}"
        return Condition(WAYPOINT, holds=False, reason="Invalid", message=message)
    if not fact.targets:
        message = "only waypoints verify tokens, and this is attached to none: use targetRefs"
        return Condition(WAYPOINT, holds=False, reason="TargetNotFound", message=message)
    return by_waypoint(world, fact.targets, "", settings)
