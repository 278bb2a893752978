"""Between the values of `mesh` and their protobuf form.

workload   workloads and services: istio.workload.Address
policy     policies of layer 4, istio.security.Authorization, and of waypoints, ambit.waypoint.Policy
route      routes of waypoints: ambit.waypoint.Route
traffic    traffic policies: ambit.waypoint.TrafficPolicy
authentication   request authentications: ambit.authentication.RequestAuthentication

What comes from the network and cannot be read, or contradicts itself, becomes a `Rejection`; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from mesh.authentication import RequestAuthentication
from mesh.policy import Policy, Scope
from mesh.route import Route
from mesh.snapshot import Drop, key_of
from mesh.traffic import TrafficPolicy
from mesh.workload import Service, Workload
from mesh.xds import resource as wire
from mesh.xds.codec.authentication import authentication_message, read_authentication
from mesh.xds.codec.policy import authorization_message, read_authorization, read_waypoint_policy, waypoint_message
from mesh.xds.codec.route import read_route, route_message
from mesh.xds.codec.traffic import read_traffic, traffic_message
from mesh.xds.codec.workload import read_address, service_message, workload_message
from mesh.xds.pb import authentication_pb2, authorization_pb2, waypoint_pb2, workload_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from mesh.snapshot import Resource


@dataclass(frozen=True, slots=True)
class Rejection:
    """A resource that is not taken over, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def type_of(value: Resource) -> str:
    """The type URL under which a value is served."""
    match value:
        case Workload() | Service():
            return wire.ADDRESS
        case Policy(scope=Scope.TARGET):
            return wire.WAYPOINT_POLICY
        case Policy():
            return wire.AUTHORIZATION
        case Route():
            return wire.WAYPOINT_ROUTE
        case TrafficPolicy():
            return wire.WAYPOINT_TRAFFIC
        case RequestAuthentication():
            return wire.WAYPOINT_AUTHENTICATION


def encode(value: Resource, audience: frozenset[str] | None = None) -> wire.Resource:
    """The resource to serve. Equal values give equal bytes, hence equal versions.

    Raises ValueError for a value that the wire has no place for (a node's policy with conditions of layer 7).
    """
    aliases: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    match value:
        case Workload():
            if not value.host_network:
                aliases = tuple(f"{value.network}/{ip}" for ip in value.addresses)
            follows = tuple(one.service for one in value.services)
        case Service():
            aliases = tuple(str(one) for one in value.addresses)
        case _:
            pass
    body = _message(value).SerializeToString(deterministic=True)
    return wire.Resource.of(key_of(value), body, aliases=aliases, follows=follows, audience=audience)


def decode(type_url: str, name: str, body: bytes) -> Resource | Rejection:
    """The value in a resource of this type; it must bear the resource's own name, or it could never be removed."""
    reader = _READERS.get(type_url)
    if reader is None:
        return Rejection(name, f"resources of type {type_url} were not asked for")
    message_type, read = reader
    try:
        value = read(message_type.FromString(body))
    except (ValueError, DecodeError) as fault:
        return Rejection(name, str(fault))
    if key_of(value) != name:
        return Rejection(name, f"it contains {key_of(value)!r}")
    return value


def drops(type_url: str, name: str) -> tuple[Drop, ...]:
    """What it means for a snapshot that the resource of this name is removed."""
    return tuple(Drop(kind, name) for kind in _KINDS.get(type_url, ()))


def _message(value: Resource) -> Message:
    if isinstance(value, Policy):
        return waypoint_message(value) if value.scope is Scope.TARGET else authorization_message(value)
    return _WRITERS[type(value)](value)


_WRITERS: Final[dict[type[Resource], Callable[[Any], Message]]] = {
    Workload: workload_message,
    Service: service_message,
    Route: route_message,
    TrafficPolicy: traffic_message,
    RequestAuthentication: authentication_message,
}
_READERS: Final[dict[str, tuple[Any, Callable[[Any], Resource]]]] = {
    wire.ADDRESS: (workload_pb2.Address, read_address),
    wire.AUTHORIZATION: (authorization_pb2.Authorization, read_authorization),
    wire.WAYPOINT_ROUTE: (waypoint_pb2.Route, read_route),
    wire.WAYPOINT_POLICY: (waypoint_pb2.Policy, read_waypoint_policy),
    wire.WAYPOINT_TRAFFIC: (waypoint_pb2.TrafficPolicy, read_traffic),
    wire.WAYPOINT_AUTHENTICATION: (authentication_pb2.RequestAuthentication, read_authentication),
}

_KINDS: Final[dict[str, tuple[type[Resource], ...]]] = {
    wire.ADDRESS: (Workload, Service),
    wire.AUTHORIZATION: (Policy,),
    wire.WAYPOINT_ROUTE: (Route,),
    wire.WAYPOINT_POLICY: (Policy,),
    wire.WAYPOINT_TRAFFIC: (TrafficPolicy,),
    wire.WAYPOINT_AUTHENTICATION: (RequestAuthentication,),
}
