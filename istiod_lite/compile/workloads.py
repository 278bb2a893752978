"""Pods as the proxies know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from istiod_lite.compile.hosts import hosts_of
from istiod_lite.compile.policies import policies_selecting
from istiod_lite.compile.waypoints import application_tunnel, pod_binding
from istiod_lite.facts import Node
from mesh.workload import Locality, Membership, Port, TunnelProtocol, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from istiod_lite import facts
    from istiod_lite.compile.settings import Settings
    from istiod_lite.world import World

_REDIRECTION: Final = "ambient.istio.io/redirection"
TUNNEL_LABEL: Final = "networking.istio.io/tunnel"
NAME_LABELS: Final = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
REVISION_LABELS: Final = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


def compile_workload(world: World, pod: facts.Pod, settings: Settings) -> Workload | None:
    """One pod; None while it has no address, and again once it has finished."""
    if not pod.ips or pod.finished:
        return None
    meta, binding = pod.meta, pod_binding(world, pod, settings)
    native = "http" in meta.labels.get(TUNNEL_LABEL, "").split(",")
    controller = _controller(pod)
    return Workload(
        uid=workload_uid(settings, meta.namespace, meta.name),
        name=meta.name,
        namespace=meta.namespace,
        service_account=pod.service_account,
        trust_domain=settings.trust_domain,
        addresses=pod.ips,
        network=settings.network,
        cluster_id=settings.cluster_id,
        node=pod.node,
        locality=_locality(world, pod.node),
        tunnel=TunnelProtocol.HBONE if native or is_captured(pod) else TunnelProtocol.NONE,
        native_tunnel=native,
        application_tunnel=application_tunnel(world, pod),
        waypoint=binding.address if binding is not None else None,
        services=memberships(world, meta.namespace, meta.labels, pod.port_named, settings),
        policies=policies_selecting(world, meta.namespace, meta.labels, settings),
        healthy=pod.ready,
        host_network=pod.host_network,
        canonical_name=first(meta.labels, NAME_LABELS, controller),
        canonical_revision=first(meta.labels, REVISION_LABELS, "latest"),
        workload_name=controller,
    )


def is_captured(pod: facts.Pod) -> bool:
    """Whether the pod's traffic goes through its node's ztunnel, as the node's agent reported."""
    return pod.meta.annotations.get(_REDIRECTION) == "enabled"


def workload_uid(settings: Settings, namespace: str, pod: str) -> str:
    """The uid of a pod's workload."""
    return f"{settings.cluster_id}//Pod/{namespace}/{pod}"


def memberships(
    world: World, namespace: str, labels: Mapping[str, str], port_named: Callable[[str], int], settings: Settings
) -> tuple[Membership, ...]:
    """The services of which a workload with these labels is an endpoint. `port_named` gives a named port, or 0."""
    return tuple(_memberships(world, namespace, labels, port_named, settings))


def _memberships(
    world: World, namespace: str, labels: Mapping[str, str], port_named: Callable[[str], int], settings: Settings
) -> Iterator[Membership]:
    for service in world.services_of(namespace, labels):
        if service.type == "ExternalName":
            continue
        ports: list[Port] = []
        for port in service.ports:
            target = port.target if isinstance(port.target, int) else port_named(port.target)
            if port.protocol == "TCP" and target:
                ports.append(Port(port.port, target))
        yield Membership(settings.service_key(service.meta.namespace, service.meta.name), tuple(ports))
    for entry in world.entries_of(namespace, labels):
        for host in hosts_of(world, entry, settings):
            yield Membership(f"{namespace}/{host}", entry_ports(entry, port_named))


def entry_ports(entry: facts.ServiceEntry, port_named: Callable[[str], int]) -> tuple[Port, ...]:
    """The ports of a ServiceEntry at one endpoint, whose own number for a port's name wins."""
    return tuple(
        Port(one.port, port_named(one.name) or int(one.target)) for one in entry.ports if one.protocol == "TCP"
    )


def _locality(world: World, node: str) -> Locality:
    known = world.get(Node, "", node)
    if known is None:
        return Locality()
    labels = known.meta.labels
    return Locality(
        region=labels.get("topology.kubernetes.io/region", ""),
        zone=labels.get("topology.kubernetes.io/zone", ""),
        subzone=labels.get("topology.istio.io/subzone", ""),
    )


def _controller(pod: facts.Pod) -> str:
    """What people call the workload: its Deployment (a ReplicaSet's name without the hash), other owner, or itself."""
    kind, _, name = pod.meta.owner.partition("/")
    digest = pod.meta.labels.get("pod-template-hash", "")
    if kind == "ReplicaSet" and digest:
        return name.removesuffix(f"-{digest}")
    return name or pod.meta.name


def first(labels: Mapping[str, str], names: tuple[str, ...], default: str) -> str:
    """The value of the first of these labels that says something."""
    return next((labels[name] for name in names if labels.get(name)), default)
