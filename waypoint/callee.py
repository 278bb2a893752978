"""Whom a tunnel to this waypoint is for, and what is spoken in it. Pure.

A waypoint serves only what is bound to it: were it to serve anything that a caller names, it would lend out its own
identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mesh.address import IP, Address, HostPort, parse_authority
from mesh.authentication import JwtRule, RequestAuthentication
from mesh.policy import Policy, Target
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.workload import AppProtocol, GatewayAddress, NamespacedHostname, Service, Workload


@dataclass(frozen=True, slots=True)
class Gateway:
    """Which waypoint this is: its Gateway's name, and where it lives."""

    namespace: str
    name: str
    network: str = ""
    address: IP | None = None
    """The pod's own, by which it finds its own workload."""
    class_name: str = "istio-waypoint"
    root_namespace: str = "istio-system"


@dataclass(frozen=True, slots=True)
class Callee:
    """A service by its port, or, where the waypoint stands before single pods, a workload by its port."""

    service: Service | None
    workload: Workload | None
    port: int
    address: Address
    """What was dialled; for a host name the service's first virtual address."""

    @property
    def name(self) -> str:
        """How people know it."""
        if self.service is not None:
            return f"{self.service.key}:{self.port}"
        return f"{self.workload.uid if self.workload is not None else self.address.ip}:{self.port}"


class Speech(Enum):
    """What is to be expected in a tunnel."""

    HTTP = "http"
    OPAQUE = "opaque"
    """Bytes that are none of our business; the server may speak first."""
    UNDECLARED = "undeclared"
    """The caller's first bytes tell; a caller that waits for the server is taken for opaque."""


def resolve(snapshot: Snapshot, here: Gateway, authority: str) -> Callee | Refusal:
    """Find what a CONNECT is for. Refuses what is unknown and what is not bound to this waypoint."""
    try:
        wanted = parse_authority(authority)
    except ValueError as fault:
        return Refusal(Reason.BAD_REQUEST, str(fault))
    found = _named(snapshot, here, wanted) if isinstance(wanted, HostPort) else _at(snapshot, here, wanted)
    if isinstance(found, Refusal):
        return found
    owner = found.service or found.workload
    bound = owner.waypoint if owner is not None else None
    if bound is None or not is_here(snapshot, here, bound):
        return Refusal(
            Reason.UNKNOWN_DESTINATION, f"{found.name} is not bound to waypoint {here.namespace}/{here.name}"
        )
    return found


def is_here(snapshot: Snapshot, here: Gateway, waypoint: GatewayAddress) -> bool:
    """Whether a binding means this waypoint. Its Service bears the Gateway's name."""
    gateway = snapshot.gateway(waypoint)
    if gateway is not None and isinstance(gateway, Service):
        return (gateway.namespace, gateway.name) == (here.namespace, here.name)
    if isinstance(waypoint.destination, NamespacedHostname):
        # The waypoint's own Service is not among what it was told of: its host name says as much.
        where = waypoint.destination
        return (where.namespace, where.hostname.partition(".")[0]) == (here.namespace, here.name)
    return waypoint.destination.ip == here.address


def speech(snapshot: Snapshot, callee: Callee) -> Speech:
    """What is spoken: as the port declares; where it declares nothing, HTTP if a route is attached."""
    if callee.service is None:
        return Speech.UNDECLARED
    port = callee.service.port(callee.port)
    match port.protocol if port is not None else AppProtocol.UNKNOWN:
        case AppProtocol.HTTP11 | AppProtocol.HTTP2 | AppProtocol.GRPC:
            return Speech.HTTP
        case AppProtocol.TCP | AppProtocol.TLS:
            return Speech.OPAQUE
        case AppProtocol.UNKNOWN:
            routed = any(one.port in {None, callee.port} for one in snapshot.routes_of(callee.service.key))
            return Speech.HTTP if routed else Speech.UNDECLARED


def policies(snapshot: Snapshot, here: Gateway, callee: Callee) -> tuple[Policy, ...]:
    """The policies that are in force here: those whose targets are this Gateway, its class, or the service called."""
    return tuple(one for _, one in sorted(snapshot.policies.items()) if _concerns(here, callee, one))


def jwt_rules(snapshot: Snapshot, here: Gateway, callee: Callee) -> tuple[JwtRule, ...]:
    """The rules for tokens that are in force here: those of request authentications with such targets."""
    found = (one for _, one in sorted(snapshot.authentications.items()) if _concerns(here, callee, one))
    return tuple(rule for one in found for rule in one.rules)


def _concerns(here: Gateway, callee: Callee, what: Policy | RequestAuthentication) -> bool:
    if Target("Gateway", here.namespace, here.name) in what.targets:
        return True
    service = callee.service
    if service is not None:
        kind = "Service" if service.canonical else "ServiceEntry"
        if Target(kind, service.namespace, service.name) in what.targets:
            return True
    return what.namespace == here.root_namespace and Target("GatewayClass", "", here.class_name) in what.targets


def _at(snapshot: Snapshot, here: Gateway, wanted: Address) -> Callee | Refusal:
    service = snapshot.service_at(here.network, wanted.ip)
    if service is not None:
        return _of_service(service, wanted)
    workload = snapshot.workload_at(here.network, wanted.ip)
    if workload is None:
        return Refusal(Reason.UNKNOWN_DESTINATION, f"the mesh knows nothing at {wanted.ip}")
    return Callee(None, workload, wanted.port, wanted)


def _named(snapshot: Snapshot, here: Gateway, wanted: HostPort) -> Callee | Refusal:
    service = snapshot.service_named(wanted.host, here.namespace)
    if service is None:
        return Refusal(Reason.UNKNOWN_DESTINATION, f"the mesh knows no service {wanted.host}")
    own = [one.ip for one in service.addresses if one.network == here.network]
    if not own:
        return Refusal(Reason.UNKNOWN_DESTINATION, f"service {service.key} has no address in this network")
    return _of_service(service, Address(own[0], wanted.port))


def _of_service(service: Service, address: Address) -> Callee | Refusal:
    if service.port(address.port) is None:
        return Refusal(Reason.UNKNOWN_PORT, f"service {service.key} has no port {address.port}")
    return Callee(service, None, address.port, address)
