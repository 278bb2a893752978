"""The status of RequestAuthentications: which waypoints verify tokens by them, and whether they can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istiod_lite.status.condition import Condition
from istiod_lite.status.policies import WAYPOINT, by_waypoint

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import RequestAuthentication
    from istiod_lite.world import World


def authentication_condition(
    world: World, fact: RequestAuthentication, settings: Settings, missing: frozenset[str]
) -> Condition:
    """What is to be said of one; `missing` are the addresses of keys of which none are known."""
    if fact.fault:
        message = f"it cannot be read, so no token is valid: {fact.fault}"
        return Condition(WAYPOINT, holds=False, reason="Invalid", message=message)
    if not fact.targets:
        message = "only waypoints verify tokens, and this is attached to none: use targetRefs"
        return Condition(WAYPOINT, holds=False, reason="TargetNotFound", message=message)
    unknown = [one.rule.issuer for one in fact.rules if one.uri in missing]
    if unknown:
        message = (
            f"no token of {', '.join(unknown)} is valid: its keys could not be fetched yet (istiod's log says why)"
        )
        return Condition(WAYPOINT, holds=False, reason="KeysNotFetched", message=message)
    return by_waypoint(world, fact.targets, "", settings)
