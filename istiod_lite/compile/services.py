"""Services as the proxies know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from istiod_lite.compile.waypoints import service_binding
from mesh.address import NetworkAddress
from mesh.workload import AppProtocol, Balancing, BalancingMode, LocalityScope, Port, Service

if TYPE_CHECKING:
    from istiod_lite import facts
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts.service import ServicePort
    from istiod_lite.world import World

_DECLARED: Final = {
    "http": AppProtocol.HTTP11, "grpc-web": AppProtocol.HTTP11, "kubernetes.io/ws": AppProtocol.HTTP11,
    "http2": AppProtocol.HTTP2, "h2c": AppProtocol.HTTP2, "kubernetes.io/h2c": AppProtocol.HTTP2,
    "grpc": AppProtocol.GRPC,
    "https": AppProtocol.TLS, "tls": AppProtocol.TLS, "kubernetes.io/wss": AppProtocol.TLS,
    "tcp": AppProtocol.TCP, "hbone": AppProtocol.TCP, "mongo": AppProtocol.TCP, "mysql": AppProtocol.TCP,
    "redis": AppProtocol.TCP,
}  # fmt: skip
_SERVER_SPEAKS_FIRST: Final = frozenset({25, 53, 3306, 27017})
"""SMTP, DNS, MySQL, MongoDB: waiting for the client's first bytes to guess the protocol would hang."""
_NEAR: Final = (LocalityScope.NETWORK, LocalityScope.REGION, LocalityScope.ZONE)
_NEARER: Final = (*_NEAR, LocalityScope.SUBZONE, LocalityScope.NODE)


def compile_service(world: World, fact: facts.Service, settings: Settings) -> Service | None:
    """One service; None for an ExternalName, which is a DNS alias and nothing that a proxy sees."""
    if fact.type == "ExternalName":
        return None
    binding = service_binding(world, fact, settings)
    return Service(
        name=fact.meta.name,
        namespace=fact.meta.namespace,
        hostname=settings.hostname(fact.meta.namespace, fact.meta.name),
        addresses=tuple(NetworkAddress(settings.network, ip) for ip in fact.vips),
        ports=tuple(
            Port(one.port, one.target if isinstance(one.target, int) else 0, protocol_of(one))
            for one in fact.ports
            if one.protocol == "TCP"
        ),
        waypoint=binding.address if binding is not None else None,
        balancing=_balancing(world, fact),
        canonical=True,
    )


def protocol_of(port: ServicePort) -> AppProtocol:
    """What is spoken on a port: by appProtocol, else by the first word of the port's name, else by its number."""
    declared = _DECLARED.get(port.app_protocol.lower())
    if declared is not None:
        return declared
    name = port.name.lower()
    by_name = _DECLARED.get("grpc-web" if name.startswith("grpc-web") else name.partition("-")[0])
    if by_name is not None and not port.app_protocol:
        return by_name
    return AppProtocol.TCP if port.port in _SERVER_SPEAKS_FIRST else AppProtocol.UNKNOWN


def _balancing(world: World, fact: facts.Service) -> Balancing:
    if fact.internal_traffic_policy == "Local":
        return Balancing((LocalityScope.NODE,), BalancingMode.STRICT, fact.publish_not_ready)
    annotation = "networking.istio.io/traffic-distribution"
    wanted = fact.meta.annotations.get(annotation) or fact.traffic_distribution
    if not wanted and (namespace := world.namespace(fact.meta.namespace)) is not None:
        wanted = namespace.meta.annotations.get(annotation, "")
    scopes = {"PreferClose": _NEAR, "PreferSameZone": _NEAR, "PreferSameNode": _NEARER}.get(wanted, ())
    mode = BalancingMode.FAILOVER if scopes else BalancingMode.UNSPECIFIED
    return Balancing(scopes, mode, fact.publish_not_ready)
