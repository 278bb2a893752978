"""ServiceEntries and WorkloadEntries as the proxies know them: a service for every host, a workload per endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istiod_lite.compile.hosts import host_fault, hosts_of
from istiod_lite.compile.policies import policies_selecting
from istiod_lite.compile.services import protocol_of
from istiod_lite.compile.waypoints import entry_binding, service_binding
from istiod_lite.compile.workloads import NAME_LABELS, REVISION_LABELS, TUNNEL_LABEL, entry_ports, first, memberships
from istiod_lite.facts.workloadentry import Endpoint
from mesh.address import NetworkAddress
from mesh.workload import Balancing, BalancingMode, Locality, Membership, Port, Service, TunnelProtocol, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite.compile.hosts import Automatic
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import ServiceEntry, WorkloadEntry
    from istiod_lite.world import World

_GROUP = "networking.istio.io"
_PASSED_THROUGH = Balancing((), BalancingMode.PASSTHROUGH, unhealthy_too=True)


def compile_entry(world: World, entry: ServiceEntry, automatic: Automatic, settings: Settings) -> Iterator[Service]:
    """The services of one ServiceEntry. With resolution NONE each call keeps the address that its caller chose."""
    binding = service_binding(world, entry, settings)
    namespace = entry.meta.namespace
    for host in hosts_of(world, entry, settings):
        own = automatic.get((namespace, host))
        addresses = entry.addresses if own is None else (own,)
        yield Service(
            name=entry.meta.name,
            namespace=namespace,
            hostname=host,
            addresses=tuple(NetworkAddress(settings.network, ip) for ip in addresses),
            ports=tuple(
                Port(one.port, int(one.target), protocol_of(one)) for one in entry.ports if one.protocol == "TCP"
            ),
            subject_alt_names=entry.subject_alt_names,
            waypoint=binding.address if binding is not None else None,
            balancing=_PASSED_THROUGH if entry.resolution == "NONE" else Balancing(),
        )


def compile_endpoints(world: World, entry: ServiceEntry, settings: Settings) -> Iterator[Workload]:
    """The workloads of one ServiceEntry: its endpoints, or, if it is resolved and has none, its hosts themselves."""
    hosts = hosts_of(world, entry, settings)
    if entry.resolves and not entry.endpoints and entry.selector is None:
        for host in hosts:
            yield _endpoint(world, entry, Endpoint(host), (host,), settings)
    for endpoint in entry.endpoints:
        yield _endpoint(world, entry, endpoint, hosts, settings)


def compile_workload_entry(world: World, entry: WorkloadEntry, settings: Settings) -> Workload:
    """One WorkloadEntry, an endpoint of every Service and ServiceEntry that selects it."""
    meta, labels = entry.meta, entry.labels
    binding = entry_binding(world, entry, settings)
    return Workload(
        uid=f"{settings.cluster_id}/{_GROUP}/WorkloadEntry/{meta.namespace}/{meta.name}",
        name=meta.name,
        namespace=meta.namespace,
        waypoint=binding.address if binding is not None else None,
        services=memberships(world, meta.namespace, labels, entry.endpoint.port_named, settings),
        policies=policies_selecting(world, meta.namespace, labels, settings),
        healthy=not meta.deleting,
        **_described(entry.endpoint, labels, meta.name, settings),
    )


def unhonoured(world: World, entry: ServiceEntry, settings: Settings) -> tuple[str, ...]:
    """What of an entry is not carried out as it is written, in words."""
    faults = [fault for host in entry.hosts if (fault := host_fault(world, entry, host, settings))]
    if entry.ranges:
        faults.append(f"address ranges are not supported: {', '.join(entry.ranges)}")
    if not entry.resolves and not entry.addresses and any("*" in host for host in entry.hosts):
        faults.append("a wildcard host without an address is never recognised")
    if any(one.protocol == "UDP" for one in entry.ports):
        faults.append("UDP ports are not served")
    if entry.resolution == "NONE" and service_binding(world, entry, settings) is not None:
        faults.append("with resolution NONE its waypoint knows no endpoint, so its calls are refused")
    if any(one != "*" for one in entry.export_to):
        faults.append("exportTo has no effect: every namespace sees it")
    return tuple(faults)


def _endpoint(
    world: World, entry: ServiceEntry, endpoint: Endpoint, hosts: tuple[str, ...], settings: Settings
) -> Workload:
    meta = entry.meta
    ports = entry_ports(entry, endpoint.port_named)
    return Workload(
        uid=f"{settings.cluster_id}/{_GROUP}/ServiceEntry/{meta.namespace}/{meta.name}/{endpoint.address}",
        name=meta.name,
        namespace=meta.namespace,
        services=tuple(Membership(f"{meta.namespace}/{host}", ports) for host in hosts),
        policies=policies_selecting(world, meta.namespace, endpoint.labels, settings),
        healthy=not meta.deleting,
        **_described(endpoint, endpoint.labels, meta.name, settings),
    )


def _described(endpoint: Endpoint, labels: Mapping[str, str], name: str, settings: Settings) -> dict[str, Any]:
    """What a workload takes from its endpoint and its labels."""
    native = "http" in labels.get(TUNNEL_LABEL, "").split(",")
    region, zone, subzone = (*endpoint.locality.split("/"), "", "", "")[:3]
    return {
        "service_account": endpoint.service_account,
        "trust_domain": settings.trust_domain,
        "addresses": (endpoint.ip,) if endpoint.ip is not None else (),
        "hostname": endpoint.address if endpoint.ip is None else "",
        "network": endpoint.network or settings.network,
        "cluster_id": settings.cluster_id,
        "locality": Locality(region, zone, subzone),
        "tunnel": TunnelProtocol.HBONE if native else TunnelProtocol.NONE,
        "native_tunnel": native,
        "capacity": endpoint.weight,
        "canonical_name": first(labels, NAME_LABELS, name),
        "canonical_revision": first(labels, REVISION_LABELS, "latest"),
        "workload_name": name,
    }
