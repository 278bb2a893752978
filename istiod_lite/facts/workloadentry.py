"""WorkloadEntries: what runs outside the cluster's pods, such as a virtual machine. Endpoints of ServiceEntries too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from istiod_lite.facts.field import DNS_LABEL, DNS_NAME
from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object
    from mesh.address import IP


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place that is called: at an IP, or at a host name that must be resolved first."""

    address: str
    ports: tuple[tuple[str, int], ...] = ()
    """Numbers for ports of a service, by the port's name there."""
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    locality: str = ""
    """`region/zone/subzone`, the later parts optional."""
    weight: int = 1
    service_account: str = "default"

    @property
    def ip(self) -> IP | None:
        """Its IP; None where it is a host name."""
        try:
            return ip_address(self.address)
        except ValueError:
            return None

    def port_named(self, name: str) -> int:
        """Its own number for the service's port of this name, 0 if it says none."""
        return next((number for known, number in self.ports if known == name), 0)


@dataclass(frozen=True, slots=True)
class WorkloadEntry:
    """A networking.istio.io WorkloadEntry."""

    meta: Metadata
    endpoint: Endpoint

    @property
    def labels(self) -> Mapping[str, str]:
        """What selectors see: the labels of the workload over those of the object."""
        return {**self.meta.labels, **self.endpoint.labels}


def read_workload_entry(obj: Object, root: Field) -> WorkloadEntry:
    """Read a WorkloadEntry."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    root["spec"].required()
    return WorkloadEntry(read_metadata(obj, root), read_endpoint(root["spec"]))


def read_endpoint(at: Field) -> Endpoint:
    """Read what a WorkloadEntry's spec and an endpoint of a ServiceEntry have in common, which is all."""
    at.knows("address", "labels", "locality", "network", "ports", "serviceAccount", "weight")
    ports = at["ports"]
    if ports.given and not isinstance(ports.value, dict):
        ports.knows()
    names = ports.value if isinstance(ports.value, dict) else {}
    return Endpoint(
        address=_read_address(at["address"]),
        ports=tuple((str(name), ports[str(name)].port()) for name in names),
        labels=at["labels"].mapping(),
        network=at["network"].text(),
        locality=at["locality"].text(),
        weight=at["weight"].integer(1, 0, (1 << 32) - 1) or 1,
        service_account=at["serviceAccount"].text("default", DNS_NAME),
    )


def _read_address(at: Field) -> str:
    if not at.required():
        return ""
    text = at.text()
    if text.startswith("unix://"):
        at.fault("a unix socket cannot be reached from other pods", "give an IP address or a host name")
        return ""
    try:
        return str(ip_address(text))
    except ValueError:
        if text.replace(".", "").isdigit():
            at.fault(f"{text!r} is neither an IP address nor a host name", "write it like 10.1.2.3 or db.example.com")
            return ""
        return at.text(shape=DNS_NAME)


def read_port_name(at: Field) -> str:
    """Read the name by which endpoints know a port."""
    return at.text(shape=DNS_LABEL) if at.required() else ""
