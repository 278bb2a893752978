"""Workloads and services as `istio.workload.Address`. Fields that equal the reader's defaults are not sent."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from google.protobuf.wrappers_pb2 import UInt32Value

from mesh.address import IP, NetworkAddress
from mesh.workload import (
    ApplicationTunnel,
    AppProtocol,
    Balancing,
    BalancingMode,
    GatewayAddress,
    Locality,
    LocalityScope,
    Membership,
    NamespacedHostname,
    Port,
    Service,
    TunnelProtocol,
    Workload,
)
from mesh.xds.pb import workload_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

_TUNNELS: Final = {
    TunnelProtocol.NONE: pb.TunnelProtocol.NONE,
    TunnelProtocol.HBONE: pb.TunnelProtocol.HBONE,
    TunnelProtocol.LEGACY_ISTIO_MTLS: pb.TunnelProtocol.LEGACY_ISTIO_MTLS,
}
_APP_PROTOCOLS: Final = {
    AppProtocol.UNKNOWN: pb.AppProtocol.UNKNOWN,
    AppProtocol.HTTP11: pb.AppProtocol.HTTP11,
    AppProtocol.HTTP2: pb.AppProtocol.HTTP2,
    AppProtocol.GRPC: pb.AppProtocol.GRPC,
    AppProtocol.TCP: pb.AppProtocol.TCP,
    AppProtocol.TLS: pb.AppProtocol.TLS,
}
_SCOPES: Final = {
    LocalityScope.REGION: pb.LoadBalancing.REGION,
    LocalityScope.ZONE: pb.LoadBalancing.ZONE,
    LocalityScope.SUBZONE: pb.LoadBalancing.SUBZONE,
    LocalityScope.NODE: pb.LoadBalancing.NODE,
    LocalityScope.CLUSTER: pb.LoadBalancing.CLUSTER,
    LocalityScope.NETWORK: pb.LoadBalancing.NETWORK,
}
_MODES: Final = {
    BalancingMode.UNSPECIFIED: pb.LoadBalancing.UNSPECIFIED_MODE,
    BalancingMode.STRICT: pb.LoadBalancing.STRICT,
    BalancingMode.FAILOVER: pb.LoadBalancing.FAILOVER,
    BalancingMode.PASSTHROUGH: pb.LoadBalancing.PASSTHROUGH,
}
_WORKLOAD_TYPES: Final = {
    "deployment": pb.WorkloadType.DEPLOYMENT,
    "cronjob": pb.WorkloadType.CRONJOB,
    "pod": pb.WorkloadType.POD,
    "job": pb.WorkloadType.JOB,
}
_TUNNEL_OF: Final[dict[int, TunnelProtocol]] = {number: value for value, number in _TUNNELS.items()}
_APP_PROTOCOL_OF: Final[dict[int, AppProtocol]] = {number: value for value, number in _APP_PROTOCOLS.items()}
_SCOPE_OF: Final[dict[int, LocalityScope]] = {number: value for value, number in _SCOPES.items()}
_MODE_OF: Final[dict[int, BalancingMode]] = {number: value for value, number in _MODES.items()}
_WORKLOAD_TYPE_OF: Final[dict[int, str]] = {number: name for name, number in _WORKLOAD_TYPES.items()}

_DEFAULT: Final = Workload(uid="", name="", namespace="")


def workload_message(one: Workload) -> pb.Address:
    """The workload in its envelope."""
    message = pb.Workload(
        uid=one.uid,
        name=one.name,
        namespace=one.namespace,
        service_account=one.service_account,
        trust_domain="" if one.trust_domain == _DEFAULT.trust_domain else one.trust_domain,
        addresses=[ip.packed for ip in one.addresses],
        hostname=one.hostname,
        network=one.network,
        cluster_id=one.cluster_id,
        node=one.node,
        tunnel_protocol=_TUNNELS[one.tunnel],
        native_tunnel=one.native_tunnel,
        waypoint=_gateway_message(one.waypoint),
        network_gateway=_gateway_message(one.network_gateway),
        services={into.service: pb.PortList(ports=_port_messages(into.ports)) for into in one.services},
        authorization_policies=one.policies,
        status=pb.WorkloadStatus.HEALTHY if one.healthy else pb.WorkloadStatus.UNHEALTHY,
        network_mode=pb.NetworkMode.HOST_NETWORK if one.host_network else pb.NetworkMode.STANDARD,
        capacity=None if one.capacity == 1 else UInt32Value(value=one.capacity),
        canonical_name=one.canonical_name,
        canonical_revision=one.canonical_revision,
        workload_name=one.workload_name,
        workload_type=_WORKLOAD_TYPES[one.workload_type],
    )
    if one.locality != _DEFAULT.locality:
        where = one.locality
        message.locality.CopyFrom(pb.Locality(region=where.region, zone=where.zone, subzone=where.subzone))
    if (tunnel := one.application_tunnel) is not None:
        protocol = pb.ApplicationTunnel.PROXY if tunnel.proxy_protocol else pb.ApplicationTunnel.NONE
        message.application_tunnel.CopyFrom(pb.ApplicationTunnel(protocol=protocol, port=tunnel.port))
    return pb.Address(workload=message)


def service_message(one: Service) -> pb.Address:
    """The service in its envelope."""
    message = pb.Service(
        name=one.name,
        namespace=one.namespace,
        hostname=one.hostname,
        addresses=[pb.NetworkAddress(network=at.network, address=at.ip.packed) for at in one.addresses],
        ports=_port_messages(one.ports),
        subject_alt_names=one.subject_alt_names,
        waypoint=_gateway_message(one.waypoint),
        canonical=one.canonical,
    )
    if one.balancing != Balancing():
        policy = pb.LoadBalancing.ALLOW_ALL if one.balancing.unhealthy_too else pb.LoadBalancing.ONLY_HEALTHY
        message.load_balancing.CopyFrom(
            pb.LoadBalancing(
                routing_preference=[_SCOPES[scope] for scope in one.balancing.scopes],
                mode=_MODES[one.balancing.mode],
                health_policy=policy,
            )
        )
    return pb.Address(service=message)


def read_address(message: pb.Address) -> Workload | Service:
    """The workload or service in the envelope; ValueError with the reason if it cannot be relied on."""
    match message.WhichOneof("type"):
        case "workload":
            return _workload(message.workload)
        case "service":
            return _service(message.service)
        case _:
            raise ValueError("neither a workload nor a service")


def _workload(message: pb.Workload) -> Workload:
    if not message.uid:
        raise ValueError("a workload without uid")
    locality = message.locality
    if message.workload_type not in _WORKLOAD_TYPE_OF:
        raise ValueError(f"unknown workload type {message.workload_type}")
    return Workload(
        uid=message.uid,
        name=message.name,
        namespace=message.namespace,
        service_account=message.service_account or _DEFAULT.service_account,
        trust_domain=message.trust_domain or _DEFAULT.trust_domain,
        addresses=tuple(_ip(packed) for packed in message.addresses),
        hostname=message.hostname,
        network=message.network,
        cluster_id=message.cluster_id or _DEFAULT.cluster_id,
        node=message.node,
        locality=Locality(locality.region, locality.zone, locality.subzone),
        tunnel=_tunnel(message.tunnel_protocol),
        native_tunnel=message.native_tunnel,
        application_tunnel=_application_tunnel(message),
        waypoint=_gateway(message.waypoint) if message.HasField("waypoint") else None,
        network_gateway=_gateway(message.network_gateway) if message.HasField("network_gateway") else None,
        services=tuple(Membership(key, _ports(ports.ports)) for key, ports in sorted(message.services.items())),
        policies=tuple(message.authorization_policies),
        healthy=message.status == pb.WorkloadStatus.HEALTHY,
        host_network=message.network_mode == pb.NetworkMode.HOST_NETWORK,
        capacity=message.capacity.value if message.HasField("capacity") else 1,
        canonical_name=message.canonical_name,
        canonical_revision=message.canonical_revision,
        workload_name=message.workload_name,
        workload_type=_WORKLOAD_TYPE_OF[message.workload_type],
    )


def _service(message: pb.Service) -> Service:
    if not message.namespace or not message.hostname:
        raise ValueError("a service needs a namespace and a host name")
    return Service(
        name=message.name,
        namespace=message.namespace,
        hostname=message.hostname,
        addresses=tuple(_network_address(one) for one in message.addresses),
        ports=_ports(message.ports),
        subject_alt_names=tuple(message.subject_alt_names),
        waypoint=_gateway(message.waypoint) if message.HasField("waypoint") else None,
        balancing=_balancing(message.load_balancing),
        canonical=message.canonical,
    )


def _balancing(message: pb.LoadBalancing) -> Balancing:
    mode = _MODE_OF.get(message.mode)
    scopes = tuple(_SCOPE_OF.get(number) for number in message.routing_preference)
    if mode is None or None in scopes:
        raise ValueError("unknown load balancing: its mode or one of its scopes is newer than this program")
    known = tuple(scope for scope in scopes if scope is not None)
    return Balancing(known, mode, message.health_policy == pb.LoadBalancing.ALLOW_ALL)


def _tunnel(number: int) -> TunnelProtocol:
    if number not in _TUNNEL_OF:
        raise ValueError(f"unknown tunnel protocol {number}")
    return _TUNNEL_OF[number]


def _application_tunnel(message: pb.Workload) -> ApplicationTunnel | None:
    if not message.HasField("application_tunnel"):
        return None
    tunnel = message.application_tunnel
    return ApplicationTunnel(tunnel.protocol == pb.ApplicationTunnel.PROXY, _port(tunnel.port))


def _gateway_message(gateway: GatewayAddress | None) -> pb.GatewayAddress | None:
    match gateway:
        case None:
            return None
        case GatewayAddress(NamespacedHostname(namespace, hostname), port):
            name = pb.NamespacedHostname(namespace=namespace, hostname=hostname)
            return pb.GatewayAddress(hostname=name, hbone_mtls_port=port)
        case GatewayAddress(NetworkAddress(network, ip), port):
            at = pb.NetworkAddress(network=network, address=ip.packed)
            return pb.GatewayAddress(address=at, hbone_mtls_port=port)
        case _:
            raise ValueError(f"no such gateway address: {gateway!r}")


def _gateway(message: pb.GatewayAddress) -> GatewayAddress:
    """The gateway. One that cannot be read must not be taken for none: then it would be bypassed."""
    if not message.hbone_mtls_port:
        raise ValueError("a waypoint or gateway without port")
    port = _port(message.hbone_mtls_port)
    match message.WhichOneof("destination"):
        case "hostname":
            named = message.hostname
            return GatewayAddress(NamespacedHostname(named.namespace, named.hostname), port)
        case "address":
            return GatewayAddress(_network_address(message.address), port)
        case _:
            raise ValueError("a waypoint or gateway without address")


def _network_address(message: pb.NetworkAddress) -> NetworkAddress:
    ip = _ip(message.address)
    if message.HasField("length") and message.length != ip.max_prefixlen:
        raise ValueError(f"a block of addresses ({ip}/{message.length}) where one address is needed")
    return NetworkAddress(message.network, ip)


def _port_messages(ports: Iterable[Port]) -> list[pb.Port]:
    return [
        pb.Port(service_port=one.service_port, target_port=one.target_port, app_protocol=_APP_PROTOCOLS[one.protocol])
        for one in ports
    ]


def _ports(messages: Iterable[pb.Port]) -> tuple[Port, ...]:
    """The ports. An application protocol that is newer than this program is treated as none declared."""
    return tuple(
        Port(
            _port(one.service_port),
            _port(one.target_port),
            _APP_PROTOCOL_OF.get(one.app_protocol, AppProtocol.UNKNOWN),
        )
        for one in messages
    )


def _port(number: int) -> int:
    if number > 65535:
        raise ValueError(f"{number} is no port")
    return number


def _ip(packed: bytes) -> IP:
    if len(packed) == 4:
        return IPv4Address(packed)
    if len(packed) == 16:
        return IPv6Address(packed)
    raise ValueError(f"an address of {len(packed)} bytes")
