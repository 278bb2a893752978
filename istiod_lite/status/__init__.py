"""Status: what is told back on the objects, and honestly. What nothing can carry out is said to be so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from istiod_lite.compile.waypoints import WAYPOINT_CONTROLLER, is_waypoint_class
from istiod_lite.facts import (
    AuthorizationPolicy,
    DestinationRule,
    Gateway,
    GatewayClass,
    RequestAuthentication,
    RouteFact,
    Service,
    ServiceEntry,
    TrafficPolicy,
)
from istiod_lite.facts.trafficpolicy import POLICY_GROUP
from istiod_lite.status.authentications import authentication_condition
from istiod_lite.status.binding import waypoint_bound
from istiod_lite.status.condition import Moment
from istiod_lite.status.destinationrules import RuleStatuses
from istiod_lite.status.entries import EntryStatuses
from istiod_lite.status.gateways import CLASS_ACCEPTED, gateway_status
from istiod_lite.status.policies import policy_status
from istiod_lite.status.routes import RouteStatuses
from istiod_lite.status.traffic import TrafficStatuses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite.compile.settings import Settings
    from istiod_lite.object import ObjectKey
    from istiod_lite.world import World

__all__ = ["document", "statuses"]

Status = dict[str, Any]

_EPOCH: Final = "1970-01-01T00:00:00Z"


def statuses(
    world: World,
    settings: Settings,
    *,
    former: Mapping[ObjectKey, Status] | None = None,
    now: str = _EPOCH,
    missing: frozenset[str] = frozenset(),
) -> dict[ObjectKey, Status]:
    """The status that every object should have; objects of which nothing is to be said are left out.

    `former` is what was written last: a condition whose status did not change keeps its transition time. Those that
    did change get `now` (RFC 3339, UTC). `missing` are the addresses of issuers' keys of which none are known.
    """
    return dict(_statuses(world, settings, former or {}, Moment(now), missing))


def document(key: ObjectKey, status: Status) -> dict[str, Any]:
    """A status as a manifest of its own: what object it is of, and nothing but the status."""
    metadata = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
    number = "v1alpha1" if key.group == POLICY_GROUP else "v1"
    version = f"{key.group}/{number}" if key.group else number
    return {"apiVersion": version, "kind": key.kind, "metadata": metadata, "status": status}


def _statuses(
    world: World, settings: Settings, former: Mapping[ObjectKey, Status], moment: Moment, missing: frozenset[str]
) -> Iterator[tuple[ObjectKey, Status]]:
    for kind in world.all(GatewayClass):
        if kind.controller == WAYPOINT_CONTROLLER:
            old = former.get(kind.meta.key, {}).get("conditions")
            yield kind.meta.key, {"conditions": moment.written([CLASS_ACCEPTED], kind.meta.generation, old)}
    for gateway in world.all(Gateway):
        if is_waypoint_class(world, gateway.gateway_class):
            key = gateway.meta.key
            yield key, gateway_status(world, gateway, settings, moment, former.get(key, {}))
    of_route = RouteStatuses(world, settings, moment)
    for route in world.all(RouteFact):
        status = of_route.status(route, former.get(route.meta.key, {}))
        if status is not None:
            yield route.meta.key, status
    yield from _of_security(world, settings, former, moment, missing)
    of_traffic = TrafficStatuses(world, settings, moment)
    for limit in world.all(TrafficPolicy):
        yield limit.meta.key, of_traffic.status(limit, former.get(limit.meta.key, {}))
    of_rule = RuleStatuses(world, settings, moment)
    for rule in world.all(DestinationRule):
        yield rule.meta.key, of_rule.status(rule, former.get(rule.meta.key, {}))
    for service in world.all(Service):
        condition = waypoint_bound(world, service, settings)
        if condition is not None:
            old = former.get(service.meta.key, {}).get("conditions")
            yield service.meta.key, {"conditions": moment.written([condition], service.meta.generation, old)}
    of_entry = EntryStatuses(world, settings, moment)
    for entry in world.all(ServiceEntry):
        yield entry.meta.key, of_entry.status(entry, former.get(entry.meta.key, {}))


def _of_security(
    world: World, settings: Settings, former: Mapping[ObjectKey, Status], moment: Moment, missing: frozenset[str]
) -> Iterator[tuple[ObjectKey, Status]]:
    for policy in world.all(AuthorizationPolicy):
        key = policy.meta.key
        yield key, policy_status(world, policy, settings, moment, former.get(key, {}))
    for fact in world.all(RequestAuthentication):
        condition = authentication_condition(world, fact, settings, missing)
        old = former.get(fact.meta.key, {}).get("conditions")
        yield fact.meta.key, {"conditions": moment.written([condition], fact.meta.generation, old)}
