"""The status of routes, one entry for every parent that is for this mesh to answer."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from istiod_lite.compile.routes import attachment, references, unresolved, unsupported_filters
from istiod_lite.compile.waypoints import BindingState, is_waypoint_class, service_binding
from istiod_lite.facts import Gateway, RouteFact, Service, ServiceEntry
from istiod_lite.facts.route import Unsupported
from istiod_lite.status.condition import Condition
from mesh.route import RouteKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite.compile.routes import Attachment
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts.route import ParentRef
    from istiod_lite.status.condition import Moment
    from istiod_lite.world import World

Status = dict[str, Any]

ROUTE_CONTROLLER: Final = "istio.io/gateway-controller"
"""Istio's name for itself in the status of routes, those of Services among them."""


_Place = tuple[str, str, str, str]
"""Kind, namespace and name of a parent, and a route's namespace."""


def taken_by_grpc(world: World) -> Mapping[_Place, frozenset[int | None]]:
    """Where GRPCRoutes displace the HTTPRoutes of the same producer or consumer namespace (GEP-1294).

    By parent and route namespace: the ports that are taken, None for all.
    """
    taken: defaultdict[_Place, set[int | None]] = defaultdict(set)
    for route in world.all(RouteFact):
        for parent in route.parents if route.kind is RouteKind.GRPC else ():
            found = attachment(world, parent)
            if found is not None and found.service is not None:
                taken[parent.kind, parent.namespace, parent.name, route.meta.namespace].update(found.ports)
    return {key: frozenset(ports) for key, ports in taken.items()}


class RouteStatuses:
    """What the statuses of all routes have in common."""

    def __init__(self, world: World, settings: Settings, moment: Moment) -> None:
        self._world = world
        self._settings = settings
        self._moment = moment
        self._taken = taken_by_grpc(world)

    def status(self, route: RouteFact, former: Status) -> Status | None:
        """The status of one route; None if all its parents are somebody else's."""
        entries = []
        for parent in route.parents:
            conditions = list(self._conditions(route, parent))
            if conditions:
                written = dict(parent.written)
                old: Status = next((one for one in former.get("parents", ()) if one.get("parentRef") == written), {})
                entries.append({
                    "parentRef": written,
                    "controllerName": ROUTE_CONTROLLER,
                    "conditions": self._moment.written(conditions, route.meta.generation, old.get("conditions")),
                })  # fmt: skip
        return {"parents": entries} if entries else None

    def _conditions(self, route: RouteFact, parent: ParentRef) -> Iterator[Condition]:
        attached = attachment(self._world, parent)
        if attached is None:
            yield from self._foreign(parent)
            return
        yield self._accepted(route, attached)
        yield self._resolved(route)
        if attached.service is not None:
            yield self._served(attached.service)
        if broken := _broken_rules(route):
            message = "Dropped Rule: " + "; ".join(broken)
            yield Condition("PartiallyInvalid", holds=True, reason="UnsupportedValue", message=message)

    def _foreign(self, parent: ParentRef) -> Iterator[Condition]:
        """Parents that are not Services or ServiceEntries but should have been."""
        gateway = self._world.get(Gateway, parent.namespace, parent.name) if parent.kind == "Gateway" else None
        if gateway is not None and is_waypoint_class(self._world, gateway.gateway_class):
            message = "routes do not attach to a waypoint but to the Services behind it (kind: Service, group: '')"
            yield Condition("Accepted", holds=False, reason="NotAllowedByListeners", message=message)
        elif parent.kind == "ServiceEntry":
            message = f"a ServiceEntry is of group networking.istio.io, not {parent.group!r}"
            yield Condition("Accepted", holds=False, reason="InvalidKind", message=message)

    def _accepted(self, route: RouteFact, attached: Attachment) -> Condition:
        def no(reason: str, message: str) -> Condition:
            return Condition("Accepted", holds=False, reason=reason, message=message)

        if attached.service is None:
            return no("NoMatchingParent", attached.fault)
        if self._displaced(route, attached):
            return no("Conflicted", "a GRPCRoute of the same namespace is attached to the same ports and wins")
        broken = [rule for rule in route.rules if any(isinstance(one, Unsupported) for one in rule.filters)]
        if len(broken) == len(route.rules):
            return no("UnsupportedValue", "every rule has a filter that is not supported")
        message = "the route is valid"
        if route.hostnames:
            message += "; its hostnames are ignored, for all requests to a Service are meant (GEP-1294)"
        return Condition("Accepted", holds=True, reason="Accepted", message=message)

    def _displaced(self, route: RouteFact, attached: Attachment) -> bool:
        if route.kind is not RouteKind.HTTP or attached.service is None:
            return False
        service, parent = attached.service, attached.parent
        taken = self._taken.get((parent.kind, parent.namespace, parent.name, route.meta.namespace), frozenset())
        everything = {one.port for one in service.ports if one.protocol == "TCP"}
        wanted = everything if None in attached.ports else set(attached.ports)
        return None in taken or (bool(wanted) and wanted <= taken)

    def _resolved(self, route: RouteFact) -> Condition:
        lost = [
            fault
            for rule in route.rules
            for backend in references(rule)
            if (fault := unresolved(self._world, backend)) is not None
        ]
        if not lost:
            return Condition("ResolvedRefs", holds=True, reason="ResolvedRefs", message="every backend exists")
        message = (
            "; ".join(dict.fromkeys(one.message for one in lost))
            + ": their share of requests is answered 500, or not mirrored"
        )
        return Condition("ResolvedRefs", holds=False, reason=lost[0].reason, message=message)

    def _served(self, service: Service | ServiceEntry) -> Condition:
        """Whether a waypoint is there to carry the route out."""
        binding = service_binding(self._world, service, self._settings)
        title = f"{type(service).__name__} {service.meta.namespace}/{service.meta.name}"
        if binding is None:
            message = f"{title} has no waypoint, so nothing follows this route: label it istio.io/use-waypoint"
            return Condition("ResolvedWaypoints", holds=False, reason="NoWaypoint", message=message)
        ready = binding.state is BindingState.READY
        reason = "ResolvedWaypoints" if ready else binding.state.value
        return Condition("ResolvedWaypoints", holds=ready, reason=reason, message=binding.message)


def _broken_rules(route: RouteFact) -> list[str]:
    """The rules that cannot be carried out as written, each in words."""
    return [
        f"rule {rule.name or number}: {', '.join(lacking)} is not supported, its requests are answered 500"
        for number, rule in enumerate(route.rules, 1)
        if (lacking := unsupported_filters(rule))
    ]
