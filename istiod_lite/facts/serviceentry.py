"""ServiceEntries: host names that pods call, in front of what the cluster's own services do not know."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import HOSTNAME, SOME_TEXT
from istiod_lite.facts.metadata import Metadata, read_metadata
from istiod_lite.facts.service import ServicePort
from istiod_lite.facts.workloadentry import Endpoint, read_endpoint, read_port_name

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object
    from mesh.address import IP

_SPEC_FIELDS: Final = (
    "addresses", "endpoints", "exportTo", "hosts", "location", "ports", "resolution", "subjectAltNames",
    "workloadSelector",
)  # fmt: skip
_PROTOCOLS: Final = (
    "TCP", "UDP", "HTTP", "HTTP2", "HTTPS", "HTTP_PROXY", "GRPC", "GRPC-WEB", "TLS", "MONGO", "REDIS", "MYSQL",
    "HBONE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A networking.istio.io ServiceEntry. `selector` is None where it has none; `ranges` are its CIDR addresses."""

    meta: Metadata
    hosts: tuple[str, ...]
    addresses: tuple[IP, ...]
    ranges: tuple[str, ...]
    ports: tuple[ServicePort, ...]
    resolution: str
    endpoints: tuple[Endpoint, ...]
    selector: tuple[tuple[str, str], ...] | None
    export_to: tuple[str, ...]
    subject_alt_names: tuple[str, ...]

    @property
    def resolves(self) -> bool:
        """Whether its endpoints may be host names, to be looked up when they are called."""
        return self.resolution in {"DNS", "DNS_ROUND_ROBIN"}


def read_service_entry(obj: Object, root: Field) -> ServiceEntry:
    """Read a ServiceEntry."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows(*_SPEC_FIELDS)
    spec.required()
    if spec["hosts"].required():
        spec["hosts"].each(256, 1)
    spec.differ(spec["hosts"].each(), lambda one: one.value, "host")
    spec["location"].choice(("MESH_EXTERNAL", "MESH_INTERNAL"))
    resolution = spec["resolution"].choice(("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN"), "NONE")
    ports = spec["ports"].each()
    spec.differ(ports, lambda one: one["number"].value, "port")
    spec.differ(ports, lambda one: one["name"].value, "port name")
    endpoints = spec["endpoints"].each()
    spec.differ(endpoints, lambda one: one["address"].value, "endpoint")
    read = ServiceEntry(
        meta=read_metadata(obj, root),
        hosts=spec["hosts"].texts(HOSTNAME),
        addresses=_addresses(spec["addresses"]),
        ranges=tuple(text for one in spec["addresses"].each() if "/" in (text := one.text())),
        ports=tuple(_read_port(one) for one in ports),
        resolution=resolution,
        endpoints=tuple(read_endpoint(one) for one in endpoints),
        selector=_read_selector(spec["workloadSelector"]),
        export_to=spec["exportTo"].texts(SOME_TEXT),
        subject_alt_names=spec["subjectAltNames"].texts(SOME_TEXT),
    )
    _check(spec, read)
    return read


def _read_selector(at: Field) -> tuple[tuple[str, str], ...] | None:
    """Read a WorkloadSelector, which must name a label: one without would select all there is."""
    labels = at.knows("labels")["labels"].mapping()
    if at.given and not labels:
        at.fault("it names no labels", "add labels, or take the selector away")
    return tuple(sorted(labels.items())) or None


def _check(spec: Field, read: ServiceEntry) -> None:
    """What goes with which resolution."""
    if read.endpoints and spec["workloadSelector"].given:
        spec["workloadSelector"].fault("a ServiceEntry has endpoints or a workloadSelector", "take one of them away")
    if read.resolution == "NONE" and read.endpoints:
        spec["endpoints"].fault("with resolution NONE nobody chooses an endpoint", "set resolution: STATIC")
    if read.resolution == "DNS_ROUND_ROBIN" and len(read.endpoints) > 1:
        spec["endpoints"].fault("DNS_ROUND_ROBIN has one endpoint at most", "set resolution: DNS")
    for at, endpoint in zip(spec["endpoints"].each(), read.endpoints, strict=True):
        if read.resolution == "STATIC" and endpoint.address and endpoint.ip is None:
            at["address"].fault(f"{endpoint.address!r} is not an IP address", "give one, or set resolution: DNS")
    if read.resolves and not read.endpoints and any("*" in host for host in read.hosts):
        spec["hosts"].fault("a wildcard cannot be resolved", "give endpoints, or set resolution: NONE")


def _read_port(at: Field) -> ServicePort:
    at.knows("name", "number", "protocol", "targetPort")
    at["number"].required()
    number = at["number"].port()
    protocol = at["protocol"].text().upper()
    if protocol and protocol not in _PROTOCOLS:
        at["protocol"].choice(_PROTOCOLS)
    return ServicePort(
        name=read_port_name(at["name"]),
        port=number,
        target=at["targetPort"].port() or number,
        protocol="UDP" if protocol == "UDP" else "TCP",
        app_protocol=protocol.lower(),
    )


def _addresses(at: Field) -> tuple[IP, ...]:
    found: list[IP] = []
    for one in at.each():
        text = one.text()
        try:
            if "/" in text:
                ip_network(text, strict=False)
            else:
                found.append(ip_address(text))
        except ValueError:
            one.fault(f"{text!r} is not an IP address", "write it like 10.1.2.3, or leave addresses away")
    return tuple(found)
