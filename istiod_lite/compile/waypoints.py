"""Which waypoint serves whom.

A service or pod names its waypoint by the label istio.io/use-waypoint, or else its namespace does. Whoever names a
waypoint is bound to it from then on: where it is missing, not ready or not open to that namespace, the binding
stays and leads nowhere, so that callers are refused instead of let past the policies that the waypoint enforces.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from istiod_lite.facts import Gateway, GatewayClass, Pod, Service, ServiceEntry, WorkloadEntry
from mesh.workload import ApplicationTunnel, GatewayAddress, NamespacedHostname

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts.gateway import Listener
    from istiod_lite.facts.metadata import Metadata
    from istiod_lite.world import World

WAYPOINT_CLASS: Final = "istio-waypoint"
WAYPOINT_CONTROLLER: Final = "istio.io/mesh-controller"
HBONE_PORT: Final = 15008
GATEWAY_NAME_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
MANAGED_LABEL: Final = "gateway.istio.io/managed"
MANAGED_BY_US: Final = "istio.io-mesh-controller"
_USE: Final = "istio.io/use-waypoint"
_USE_NAMESPACE: Final = "istio.io/use-waypoint-namespace"
_FOR: Final = "istio.io/waypoint-for"
_INBOUND_BINDING: Final = "ambient.istio.io/waypoint-inbound-binding"


class Traffic(Enum):
    """What a caller addressed: a service's name or virtual address, or a workload's own address."""

    SERVICE = "service"
    WORKLOAD = "workload"


class BindingState(Enum):
    """How a binding stands; the values are the reasons that Istio writes into status."""

    READY = "WaypointAccepted"
    NOT_READY = "WaypointIsNotReady"
    DENIED = "AttachmentDenied"
    UNSUPPORTED_TRAFFIC = "UnsupportedTrafficType"


@dataclass(frozen=True, slots=True)
class Binding:
    """The waypoint that something names. `address` is None only where the waypoint is not for such traffic at all."""

    namespace: str
    name: str
    state: BindingState
    message: str
    address: GatewayAddress | None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Whether a Gateway can be a waypoint, with the reason of its Accepted condition and a message."""

    accepted: bool
    reason: str
    message: str


def is_waypoint_class(world: World, name: str) -> bool:
    """Whether Gateways of this class are waypoints: it is istio-waypoint, or a class of the same controller."""
    known = world.get(GatewayClass, "", name)
    return known.controller == WAYPOINT_CONTROLLER if known is not None else name == WAYPOINT_CLASS


def acceptance(gateway: Gateway) -> Acceptance:
    """Whether a Gateway of a waypoint class has the one listener that a waypoint has."""
    if gateway.parameters:
        message = f"infrastructure.parametersRef {gateway.parameters} is not supported"
        return Acceptance(accepted=False, reason="InvalidParameters", message=message)
    if gateway.addresses:
        message = "a waypoint's address is that of its Service: take spec.addresses away"
        return Acceptance(accepted=False, reason="UnsupportedAddress", message=message)
    if len(gateway.listeners) != 1 or not listener_accepted(gateway.listeners[0]):
        message = f"a waypoint has exactly one listener, of protocol HBONE on port {HBONE_PORT}"
        return Acceptance(accepted=False, reason="ListenersNotValid", message=message)
    return Acceptance(accepted=True, reason="Accepted", message="the waypoint can be made")


def listener_accepted(listener: Listener) -> bool:
    """Whether this listener is a waypoint's."""
    return listener.protocol == "HBONE" and listener.port == HBONE_PORT and not listener.hostname


def ready_pods(world: World, gateway: Gateway) -> tuple[Pod, ...]:
    """The pods of a waypoint that take traffic."""
    pods = world.pods_labelled(gateway.meta.namespace, GATEWAY_NAME_LABEL, gateway.meta.name)
    return tuple(pod for pod in pods if pod.ready and pod.ips)


def waypoint_for(world: World, gateway: Gateway) -> str:
    """The traffic that a waypoint is for: service (if nothing is said), workload, all or none."""
    of_class = world.get(GatewayClass, "", gateway.gateway_class)
    default = of_class.meta.labels.get(_FOR, "service") if of_class is not None else "service"
    return gateway.meta.labels.get(_FOR, default)


def inbound_binding(world: World, gateway: Gateway) -> ApplicationTunnel | None:
    """How a gateway that is captured like any pod wants its calls: `PROXY/15088`, `NONE/8080`, on it or its class.

    A value that is neither says nothing.
    """
    of_class = world.get(GatewayClass, "", gateway.gateway_class)
    default = of_class.meta.annotations.get(_INBOUND_BINDING, "") if of_class is not None else ""
    protocol, _, port = gateway.meta.annotations.get(_INBOUND_BINDING, default).partition("/")
    if protocol not in {"PROXY", "NONE"} or not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    return ApplicationTunnel(protocol == "PROXY", int(port))


def application_tunnel(world: World, pod: Pod) -> ApplicationTunnel | None:
    """What a pod of such a gateway wants; None for every other pod."""
    gateway = world.get(Gateway, pod.meta.namespace, pod.meta.labels.get(GATEWAY_NAME_LABEL, ""))
    return inbound_binding(world, gateway) if gateway is not None else None


def service_binding(world: World, service: Service | ServiceEntry, settings: Settings) -> Binding | None:
    """The waypoint of a service, None if it names none. Waypoints themselves have none."""
    if service.meta.labels.get(MANAGED_LABEL) == MANAGED_BY_US:
        return None
    return _binding(world, service.meta, Traffic.SERVICE, settings)


def pod_binding(world: World, pod: Pod, settings: Settings) -> Binding | None:
    """The waypoint for traffic to a pod's own address, None if it has none. Waypoints themselves have none."""
    if is_waypoint_pod(world, pod):
        return None
    return _binding(world, pod.meta, Traffic.WORKLOAD, settings)


def entry_binding(world: World, entry: WorkloadEntry, settings: Settings) -> Binding | None:
    """The waypoint for traffic to a WorkloadEntry's own address, None if it has none."""
    return _binding(world, entry.meta, Traffic.WORKLOAD, settings)


def is_waypoint_pod(world: World, pod: Pod) -> bool:
    """Whether a pod is an instance of a waypoint."""
    name = pod.meta.labels.get(GATEWAY_NAME_LABEL, "")
    gateway = world.get(Gateway, pod.meta.namespace, name)
    if gateway is None:
        return False
    return is_waypoint_class(world, gateway.gateway_class) or inbound_binding(world, gateway) is not None


def _named(labels: Mapping[str, str], namespace: str) -> tuple[str, str] | None:
    """The (namespace, name) that labels name; the name "none" is an answer as well."""
    name = labels.get(_USE, "")
    return (labels.get(_USE_NAMESPACE, namespace), name) if name else None


def _binding(world: World, meta: Metadata, traffic: Traffic, settings: Settings) -> Binding | None:
    own = _named(meta.labels, meta.namespace)
    named = own or _named(world.namespace_labels(meta.namespace), meta.namespace)
    if named is None or named[1] == "none":
        return None
    namespace, name = named
    gateway = world.get(Gateway, namespace, name)
    supported = waypoint_for(world, gateway) if gateway is not None else "service"
    # A namespace's label speaks for services and pods alike: pods that its waypoint is not for are simply not bound.
    if traffic is Traffic.WORKLOAD and own is None and supported not in {"all", "workload"}:
        return None
    if gateway is not None and supported not in {"all", traffic.value}:
        message = f"waypoint {namespace}/{name} is for {supported} traffic, not for {traffic.value} traffic"
        return Binding(namespace, name, BindingState.UNSUPPORTED_TRAFFIC, message, None)
    state, message = _state(world, gateway, f"{namespace}/{name}", meta.namespace)
    host = settings.hostname(namespace, name)
    if state is BindingState.DENIED:
        # The invalid domain (RFC 6761) never resolves, yet names the waypoint in the caller's refusal.
        host = f"not-allowed.{name}.{namespace}.invalid"
    address = GatewayAddress(NamespacedHostname(namespace, host), HBONE_PORT)
    return Binding(namespace, name, state, message, address)


def _state(world: World, gateway: Gateway | None, title: str, namespace: str) -> tuple[BindingState, str]:
    if gateway is None:
        return BindingState.NOT_READY, f"waypoint {title} does not exist: calls are refused until it does"
    ours = is_waypoint_class(world, gateway.gateway_class)
    if not ours and inbound_binding(world, gateway) is None:
        return BindingState.NOT_READY, f"Gateway {title} is of class {gateway.gateway_class}, which is no waypoint"
    if ours and not (accepted := acceptance(gateway)).accepted:
        return BindingState.NOT_READY, f"waypoint {title} is not accepted: {accepted.message}"
    if not _admits(world, gateway, namespace):
        return BindingState.DENIED, f"waypoint {title} does not let namespace {namespace} in (allowedRoutes)"
    if not ready_pods(world, gateway):
        return BindingState.NOT_READY, f"waypoint {title} has no ready pod: calls are refused until it has"
    return BindingState.READY, f"bound to waypoint {title}"


def _admits(world: World, gateway: Gateway, namespace: str) -> bool:
    """Whether the Gateway's listener lets objects of a namespace attach."""
    if not gateway.listeners:
        return namespace == gateway.meta.namespace
    listener = gateway.listeners[0]
    match listener.allowed_from:
        case "All":
            return True
        case "Selector":
            return listener.allowed_selector.selects(world.namespace_labels(namespace))
    return namespace == gateway.meta.namespace
