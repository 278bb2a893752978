"""The status of DestinationRules: whether a waypoint keeps to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istiod_lite.compile.traffic import rules_in_force, targeted
from istiod_lite.status.condition import Condition
from istiod_lite.status.traffic import kept

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import DestinationRule
    from istiod_lite.status.condition import Moment
    from istiod_lite.world import World


class RuleStatuses:
    """What the statuses of all DestinationRules have in common."""

    def __init__(self, world: World, settings: Settings, moment: Moment) -> None:
        self._world = world
        self._settings = settings
        self._moment = moment
        self._in_force = rules_in_force(world, settings)

    def status(self, rule: DestinationRule, former: dict[str, Any]) -> dict[str, Any]:
        """The status of one DestinationRule."""
        conditions = [self._accepted(rule)]
        return {"conditions": self._moment.written(conditions, rule.meta.generation, former.get("conditions"))}

    def _accepted(self, rule: DestinationRule) -> Condition:
        found = targeted(self._world, rule, self._settings)
        if found is None:
            where = f"{rule.host} is no host of a Service or ServiceEntry of namespace {rule.meta.namespace}"
            return Condition("Accepted", holds=False, reason="TargetNotFound", message=where)
        service, key = found
        other = self._in_force[key]
        if other is not rule:
            why = f"{rule.host} has {other.meta.key}, which is in force"
            return Condition("Accepted", holds=False, reason="Conflicted", message=why)
        return kept(self._world, [service], rule.host, self._settings)
