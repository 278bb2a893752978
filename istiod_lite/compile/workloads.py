"""Pods as the proxies know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from istiod_lite.compile.policies import policies_selecting
from istiod_lite.compile.waypoints import pod_binding
from istiod_lite.facts import Node
from mesh.workload import Locality, Membership, Port, TunnelProtocol, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite import facts
    from istiod_lite.compile.settings import Settings
    from istiod_lite.world import World

_REDIRECTION: Final = "ambient.istio.io/redirection"
_TUNNEL: Final = "networking.istio.io/tunnel"
_NAME_LABELS: Final = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_REVISION_LABELS: Final = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


def compile_workload(world: World, pod: facts.Pod, settings: Settings) -> Workload | None:
    """One pod; None while it has no address, and again once it has finished."""
    if not pod.ips or pod.finished:
        return None
    meta, binding = pod.meta, pod_binding(world, pod, settings)
    native = "http" in meta.labels.get(_TUNNEL, "").split(",")
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
        waypoint=binding.address if binding is not None else None,
        services=tuple(_memberships(world, pod, settings)),
        policies=policies_selecting(world, pod, settings),
        healthy=pod.ready,
        host_network=pod.host_network,
        canonical_name=_first(meta.labels, _NAME_LABELS, controller),
        canonical_revision=_first(meta.labels, _REVISION_LABELS, "latest"),
        workload_name=controller,
    )


def is_captured(pod: facts.Pod) -> bool:
    """Whether the pod's traffic goes through its node's ztunnel, as the node's agent reported."""
    return pod.meta.annotations.get(_REDIRECTION) == "enabled"


def workload_uid(settings: Settings, namespace: str, pod: str) -> str:
    """The uid of a pod's workload."""
    return f"{settings.cluster_id}//Pod/{namespace}/{pod}"


def _memberships(world: World, pod: facts.Pod, settings: Settings) -> Iterator[Membership]:
    for service in world.services_of(pod):
        if service.type == "ExternalName":
            continue
        ports: list[Port] = []
        for port in service.ports:
            target = port.target if isinstance(port.target, int) else pod.port_named(port.target)
            if port.protocol == "TCP" and target:
                ports.append(Port(port.port, target))
        yield Membership(settings.service_key(service.meta.namespace, service.meta.name), tuple(ports))


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


def _first(labels: Mapping[str, str], names: tuple[str, ...], default: str) -> str:
    return next((labels[name] for name in names if labels.get(name)), default)
