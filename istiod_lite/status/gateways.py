"""The status of waypoint Gateways and of their class. Gateways of other classes are for others to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istiod_lite.compile.waypoints import acceptance, listener_accepted, ready_pods
from istiod_lite.facts import Service
from istiod_lite.status.condition import Condition

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import Gateway
    from istiod_lite.facts.gateway import Listener
    from istiod_lite.status.condition import Moment
    from istiod_lite.world import World

Status = dict[str, Any]

CLASS_ACCEPTED = Condition("Accepted", holds=True, reason="Accepted", message="Gateways of this class become waypoints")


def gateway_status(world: World, gateway: Gateway, settings: Settings, moment: Moment, former: Status) -> Status:
    """The status of one Gateway of a waypoint class."""
    namespace, name, generation = gateway.meta.namespace, gateway.meta.name, gateway.meta.generation
    accepted = acceptance(gateway)
    programmed = _programmed(world, gateway)
    conditions = (Condition("Accepted", accepted.accepted, accepted.reason, accepted.message), programmed)
    status: Status = {
        "conditions": moment.written(conditions, generation, former.get("conditions")),
        "listeners": [
            _listener_status(listener, programmed, generation, moment, _entry(former, listener.name))
            for listener in gateway.listeners
        ],
    }
    if accepted.accepted and world.get(Service, namespace, name) is not None:
        status["addresses"] = [{"type": "Hostname", "value": settings.hostname(namespace, name)}]
    return status


def _programmed(world: World, gateway: Gateway) -> Condition:
    def no(reason: str, message: str) -> Condition:
        return Condition("Programmed", holds=False, reason=reason, message=message)

    if not acceptance(gateway).accepted:
        return no("Invalid", "the Gateway is not accepted")
    if world.get(Service, gateway.meta.namespace, gateway.meta.name) is None:
        return no("AddressNotAssigned", "its Service does not exist yet")
    pods = ready_pods(world, gateway)
    if not pods:
        return no("Pending", "none of its pods is ready: calls through it are refused")
    return Condition("Programmed", holds=True, reason="Programmed", message=f"ready pods: {len(pods)}")


def _listener_status(
    listener: Listener, programmed: Condition, generation: int, moment: Moment, former: Status
) -> Status:
    if listener_accepted(listener):
        accepted = Condition("Accepted", holds=True, reason="Accepted", message="this is a waypoint's listener")
    else:
        message = "a waypoint listens for HBONE on port 15008, for every host"
        accepted = Condition("Accepted", holds=False, reason="UnsupportedProtocol", message=message)
    conditions = (
        accepted,
        Condition("Conflicted", holds=False, reason="NoConflicts", message="no other listener is in its way"),
        Condition("ResolvedRefs", holds=True, reason="ResolvedRefs", message="it has no references"),
        programmed,
    )
    return {
        "name": listener.name,
        "supportedKinds": [],
        "attachedRoutes": 0,
        "conditions": moment.written(conditions, generation, former.get("conditions")),
    }


def _entry(former: Status, name: str) -> Status:
    return next((one for one in former.get("listeners", ()) if one.get("name") == name), {})
