"""Pods and the services that group them, as the control plane describes them to every proxy.

The fields mirror `istio.workload.Workload` and `istio.workload.Service` (the names are ours where theirs are vague), so
that a real ztunnel reads what we serve and we read what a real istiod serves. Defaults are those of that protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mesh.address import IP, NetworkAddress
from mesh.identity import Identity


class TunnelProtocol(Enum):
    """How a workload wants to be reached."""

    NONE = "none"
    HBONE = "hbone"
    LEGACY_ISTIO_MTLS = "legacy-istio-mtls"


class AppProtocol(Enum):
    """What is spoken on a service's port, as its author declared it."""

    UNKNOWN = "unknown"
    HTTP11 = "http"
    HTTP2 = "http2"
    GRPC = "grpc"
    TCP = "tcp"
    TLS = "tls"


class LocalityScope(Enum):
    """One step in ranking endpoints by nearness."""

    REGION = "region"
    ZONE = "zone"
    SUBZONE = "subzone"
    NODE = "node"
    CLUSTER = "cluster"
    NETWORK = "network"


class BalancingMode(Enum):
    """What the ranking of a service's endpoints by nearness means."""

    UNSPECIFIED = "unspecified"
    STRICT = "strict"
    """Only endpoints that match every scope."""
    FAILOVER = "failover"
    """The nearest endpoints that there are."""
    PASSTHROUGH = "passthrough"
    """No choice: the caller's own destination address is kept."""


@dataclass(frozen=True, slots=True)
class Port:
    """A service's port and where it leads; target 0 means that each endpoint says it itself."""

    service_port: int
    target_port: int = 0
    protocol: AppProtocol = AppProtocol.UNKNOWN


@dataclass(frozen=True, slots=True)
class Locality:
    """Where a workload runs, from coarse to fine."""

    region: str = ""
    zone: str = ""
    subzone: str = ""


@dataclass(frozen=True, slots=True)
class NamespacedHostname:
    """A service by its namespace and full host name."""

    namespace: str
    hostname: str

    @property
    def key(self) -> str:
        """The service's key in a snapshot."""
        return f"{self.namespace}/{self.hostname}"


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """A waypoint or a network gateway: a service or an address, and its HBONE port."""

    destination: NamespacedHostname | NetworkAddress
    port: int = 15008


@dataclass(frozen=True, slots=True)
class Balancing:
    """How a service's endpoints are ranked and which of them count."""

    scopes: tuple[LocalityScope, ...] = ()
    mode: BalancingMode = BalancingMode.UNSPECIFIED
    unhealthy_too: bool = False
    """True for `publishNotReadyAddresses`."""


@dataclass(frozen=True, slots=True)
class Membership:
    """That a workload is an endpoint of a service, and on which ports."""

    service: str
    """The service's key, `namespace/hostname`."""
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class ApplicationTunnel:
    """A port of the workload that takes tunnelled connections itself, told of their origin by PROXY protocol."""

    proxy_protocol: bool
    port: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod, a virtual machine or a bare address that can be called and has an identity."""

    uid: str
    name: str
    namespace: str
    service_account: str = "default"
    trust_domain: str = "cluster.local"
    addresses: tuple[IP, ...] = ()
    hostname: str = ""
    network: str = ""
    cluster_id: str = "Kubernetes"
    node: str = ""
    locality: Locality = Locality()
    tunnel: TunnelProtocol = TunnelProtocol.NONE
    native_tunnel: bool = False
    """It terminates HBONE itself, without a ztunnel."""
    application_tunnel: ApplicationTunnel | None = None
    waypoint: GatewayAddress | None = None
    network_gateway: GatewayAddress | None = None
    services: tuple[Membership, ...] = ()
    policies: tuple[str, ...] = ()
    """Keys of the policies that select this workload; namespace and mesh wide ones are not listed."""
    healthy: bool = True
    host_network: bool = False
    capacity: int = 1
    canonical_name: str = ""
    canonical_revision: str = ""
    workload_name: str = ""
    workload_type: str = "pod"
    """deployment, cronjob, pod or job."""

    @property
    def identity(self) -> Identity:
        """The SPIFFE id that its certificate carries."""
        return Identity(self.trust_domain, self.namespace, self.service_account)

    def member_of(self, service: str) -> Membership | None:
        """Its membership of the service with this key, if it is an endpoint of it."""
        return next((one for one in self.services if one.service == service), None)


@dataclass(frozen=True, slots=True)
class Service:
    """A name and virtual addresses in front of workloads."""

    name: str
    namespace: str
    hostname: str
    addresses: tuple[NetworkAddress, ...] = ()
    ports: tuple[Port, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    waypoint: GatewayAddress | None = None
    balancing: Balancing = Balancing()
    canonical: bool = False
    """It is the cluster's own service of that host name, preferred over others that claim the name."""

    @property
    def key(self) -> str:
        """Its name in a snapshot: `namespace/hostname`."""
        return f"{self.namespace}/{self.hostname}"

    def port(self, service_port: int) -> Port | None:
        """The port with this number, if the service has it."""
        return next((one for one in self.ports if one.service_port == service_port), None)


def target_port(service: Service, workload: Workload, service_port: int) -> int | None:
    """The port of `workload` that `service_port` leads to, or None when there is none.

    The endpoint's own list wins (a named target port differs from pod to pod); else the service's target counts.
    """
    membership = workload.member_of(service.key)
    for one in membership.ports if membership is not None else ():
        if one.service_port == service_port and one.target_port:
            return one.target_port
    declared = service.port(service_port)
    return declared.target_port or None if declared is not None else None
