"""The status of AuthorizationPolicies: who enforces them, and what of them cannot be enforced.

Condition types and reasons are Istio's. A condition that does not hold means: not enforced as it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from istiod_lite.compile.policies import authorizers, compile_policy
from istiod_lite.compile.waypoints import BindingState, acceptance, is_waypoint_class, ready_pods, service_binding
from istiod_lite.compile.workloads import is_captured
from istiod_lite.facts import Gateway, GatewayClass, Service, ServiceEntry
from istiod_lite.status.condition import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import AuthorizationPolicy, Pod
    from istiod_lite.facts.authorizationpolicy import TargetRef
    from istiod_lite.status.condition import Moment
    from istiod_lite.world import World

Status = dict[str, Any]

ZTUNNEL = "ZtunnelAccepted"
WAYPOINT = "WaypointAccepted"


@dataclass(frozen=True, slots=True)
class _Bound:
    """Whether a target has somebody who enforces the policy, the reason and a message."""

    holds: bool
    reason: str
    message: str


def policy_status(
    world: World, policy: AuthorizationPolicy, settings: Settings, moment: Moment, former: Status
) -> Status:
    """The status of one AuthorizationPolicy."""
    if policy.fault:
        condition = _unreadable(policy)
    elif policy.targets:
        fault = _unenforceable(world, policy, settings, "nothing here can see them")
        condition = by_waypoint(world, policy.targets, fault, settings)
    else:
        condition = _by_ztunnel(world, policy, settings)
    generation = policy.meta.generation
    return {"conditions": moment.written([condition], generation, former.get("conditions"))}


def _unreadable(policy: AuthorizationPolicy) -> Condition:
    message = f"it cannot be read, so all that it is for is denied: {policy.fault}"
    return Condition(WAYPOINT if policy.targets else ZTUNNEL, holds=False, reason="Invalid", message=message)


def _by_ztunnel(world: World, policy: AuthorizationPolicy, settings: Settings) -> Condition:
    if fault := _unenforceable(world, policy, settings, "a waypoint can see them: use targetRefs"):
        return Condition(ZTUNNEL, holds=False, reason="UnsupportedValue", message=fault)
    message = "enforced at the callee's node" if not policy.dry_run else "dry run: matches are only logged"
    if policy.selector is not None:
        selected = _selected(world, policy, settings)
        outside = [f"{pod.meta.namespace}/{pod.meta.name}" for pod in selected if not is_captured(pod)]
        if outside:
            some = ", ".join(outside[:3]) + (f" and {len(outside) - 3} more" if len(outside) > 3 else "")
            fault = f"nothing enforces it for pods that are not in the mesh: {some}"
            return Condition(ZTUNNEL, holds=False, reason="WorkloadNotCaptured", message=fault)
        message += f"; selected pods: {len(selected)}"
    return Condition(ZTUNNEL, holds=True, reason="Accepted", message=message)


def _selected(world: World, policy: AuthorizationPolicy, settings: Settings) -> list[Pod]:
    """The running pods that a selector selects; a policy of the root namespace selects in every namespace."""
    own = policy.meta.namespace
    namespaces = world.namespaces_of_pods() if own == settings.root_namespace else (own,)
    labels = dict(policy.selector or ())
    return [pod for one in namespaces for pod in world.pods_selected(one, labels) if not pod.finished]


def by_waypoint(world: World, targets: Iterable[TargetRef], fault: str, settings: Settings) -> Condition:
    """Whether waypoints enforce something for all its targets; `fault` is what of it they cannot."""
    bound = [_bind(world, target, settings) for target in targets]
    message = "; ".join(one.message for one in bound)
    if not any(one.holds for one in bound):
        return Condition(WAYPOINT, holds=False, reason=bound[0].reason, message=message)
    if fault:
        return Condition(WAYPOINT, holds=False, reason="UnsupportedValue", message=fault)
    if not all(one.holds for one in bound):
        return Condition(WAYPOINT, holds=True, reason="PartiallyInvalid", message=message)
    return Condition(WAYPOINT, holds=True, reason="Accepted", message=message)


def _unenforceable(world: World, policy: AuthorizationPolicy, settings: Settings, mend: str) -> str:
    """What of a policy cannot be enforced, in words; "" if nothing."""
    compiled = compile_policy(policy, authorizers(world, settings), settings)
    if compiled is None:
        return "action AUDIT is for waypoints: nothing is recorded (a waypoint can record it: use targetRefs)"
    if policy.action == "CUSTOM" and not policy.targets:
        return "action CUSTOM is for waypoints: what matches is denied (a waypoint can ask: use targetRefs)"
    if policy.action == "CUSTOM" and compiled.policy.authorizer is None:
        place = f"ConfigMap {settings.root_namespace}/istio, extensionProviders"
        return f"there is no authorizer {policy.provider!r} (in {place}), so what matches is denied"
    if not compiled.unenforced:
        return ""
    names = ", ".join(compiled.unenforced)
    effect = _EFFECTS.get(policy.action, "rules deny without regard to them, so more")
    return f"these attributes cannot be seen: {names}; {effect} ({mend})"


_EFFECTS = {"ALLOW": "rules with them allow nothing", "AUDIT": "rules with them record nothing"}


def _bind(world: World, target: TargetRef, settings: Settings) -> _Bound:
    title = f"{target.namespace}/{target.name}"
    match target.kind:
        case "Gateway":
            return _bind_gateway(world, target, title)
        case "GatewayClass":
            return _bind_class(world, target, settings)
        case "Service":
            return _bind_service(world, world.get(Service, target.namespace, target.name), f"Service {title}", settings)
        case "ServiceEntry":
            entry = world.get(ServiceEntry, target.namespace, target.name)
            return _bind_service(world, entry, f"ServiceEntry {title}", settings)
    return _Bound(holds=False, reason="TargetNotFound", message=f"{target.kind} is not supported as a target")


def _bind_service(world: World, service: Service | ServiceEntry | None, title: str, settings: Settings) -> _Bound:
    if service is None:
        return _Bound(holds=False, reason="TargetNotFound", message=f"{title} was not found")
    binding = service_binding(world, service, settings)
    if binding is None or binding.address is None:
        why = f"{title} is not bound to a waypoint" if binding is None else binding.message
        return _Bound(holds=False, reason="AncestorNotBound", message=why)
    ready = binding.state is BindingState.READY
    return _Bound(ready, "Accepted" if ready else binding.state.value, binding.message)


def _bind_gateway(world: World, target: TargetRef, title: str) -> _Bound:
    gateway = world.get(Gateway, target.namespace, target.name)
    if gateway is None:
        return _Bound(holds=False, reason="TargetNotFound", message=f"Gateway {title} was not found")
    if not is_waypoint_class(world, gateway.gateway_class) or not acceptance(gateway).accepted:
        return _Bound(holds=False, reason="Invalid", message=f"Gateway {title} is not a waypoint")
    if not ready_pods(world, gateway):
        message = f"waypoint {title} has no ready pod: calls are refused until it has"
        return _Bound(holds=False, reason="WaypointIsNotReady", message=message)
    return _Bound(holds=True, reason="Accepted", message=f"bound to {title}")


def _bind_class(world: World, target: TargetRef, settings: Settings) -> _Bound:
    if target.namespace != settings.root_namespace:
        message = f"a policy for a GatewayClass belongs into the root namespace {settings.root_namespace}"
        return _Bound(holds=False, reason="Invalid", message=message)
    if world.get(GatewayClass, "", target.name) is None and not is_waypoint_class(world, target.name):
        return _Bound(holds=False, reason="TargetNotFound", message=f"GatewayClass {target.name} was not found")
    if not is_waypoint_class(world, target.name):
        return _Bound(holds=False, reason="Invalid", message=f"Gateways of class {target.name} are not waypoints")
    return _Bound(holds=True, reason="Accepted", message=f"bound to {target.name}")
