"""Services: a name, virtual addresses and ports in front of pods."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import DNS_LABEL, DNS_NAME
from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object
    from mesh.address import IP

_SPEC_FIELDS: Final = (
    "allocateLoadBalancerNodePorts", "clusterIP", "clusterIPs", "externalIPs", "externalName",
    "externalTrafficPolicy", "healthCheckNodePort", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy",
    "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges", "ports", "publishNotReadyAddresses",
    "selector", "sessionAffinity", "sessionAffinityConfig", "trafficDistribution", "type",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port. `target` is a number, or the name of a container port."""

    name: str
    port: int
    target: int | str
    protocol: str
    app_protocol: str


@dataclass(frozen=True, slots=True)
class Service:
    """A v1 Service. `vips` are its cluster IPs: none while it has none, or for ever if it is headless."""

    meta: Metadata
    type: str
    headless: bool
    vips: tuple[IP, ...]
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str]
    publish_not_ready: bool
    internal_traffic_policy: str
    traffic_distribution: str

    def port(self, number: int) -> ServicePort | None:
        """The TCP port of this number."""
        return next((one for one in self.ports if one.port == number and one.protocol == "TCP"), None)


def read_service(obj: Object, root: Field) -> Service:
    """Read a Service."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    meta = read_metadata(obj, root)
    spec = root["spec"].knows(*_SPEC_FIELDS)
    spec.required()
    ports = spec["ports"].each()
    read = tuple(_read_port(one, len(ports)) for one in ports)
    spec.differ(ports, lambda one: (one["port"].value, one["protocol"].value or "TCP"), "port")
    named = [one for one in ports if one["name"].given]
    spec.differ(named, lambda one: one["name"].value, "port name")
    kind = spec["type"].choice(("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"), "ClusterIP")
    if kind == "ExternalName" and spec["externalName"].required():
        spec["externalName"].text(shape=DNS_NAME)
    return Service(
        meta=meta,
        type=kind,
        headless=spec["clusterIP"].value == "None",
        vips=_vips(spec),
        ports=read,
        selector=spec["selector"].mapping(),
        publish_not_ready=spec["publishNotReadyAddresses"].boolean(),
        internal_traffic_policy=spec["internalTrafficPolicy"].choice(("Cluster", "Local"), "Cluster"),
        traffic_distribution=spec["trafficDistribution"].choice(
            ("PreferClose", "PreferSameZone", "PreferSameNode"), ""
        ),
    )


def _read_port(at: Field, count: int) -> ServicePort:
    at.knows("appProtocol", "name", "nodePort", "port", "protocol", "targetPort")
    at["port"].required()
    if count > 1 and not at["name"].given:
        at["name"].fault("each port of several needs a name", "add one")
    number = at["port"].port()
    target = at["targetPort"]
    return ServicePort(
        name=at["name"].text(shape=DNS_LABEL),
        port=number,
        target=target.text() if isinstance(target.value, str) else target.port() or number,
        protocol=at["protocol"].choice(("TCP", "UDP", "SCTP"), "TCP"),
        app_protocol=at["appProtocol"].text(),
    )


def _vips(spec: Field) -> tuple[IP, ...]:
    listed = spec["clusterIPs"].each() or [spec["clusterIP"]]
    found: list[IP] = []
    for one in listed:
        text = one.text()
        if text in {"", "None"}:
            continue
        try:
            found.append(ip_address(text))
        except ValueError:
            one.fault(f"{text!r} is not an IP address", "leave it away, or write None for a headless service")
    return tuple(found)
