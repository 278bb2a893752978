"""What a waypoint is told by its Deployment, by environment variables of the names that Istio's proxies read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from mesh import controlplane, settings, tracing
from mesh.controlplane import ControlPlane
from mesh.identity import Identity
from mesh.tracing import Tracing
from waypoint.callee import Gateway

_MENDS: Final = {
    "POD_NAME": "the name of this pod",
    "POD_NAMESPACE": "the namespace of this pod",
    "SERVICE_ACCOUNT": "the service account of this pod",
    "INSTANCE_IP": "the IP address of this pod",
    "GATEWAY_NAME": "the name of the Gateway that this waypoint serves",
    "GATEWAY_CLASS": "the name of the Gateway's class, like istio-waypoint",
    "ROOT_NAMESPACE": "the namespace whose policies are mesh-wide, like istio-system",
    **controlplane.MENDS,
    **tracing.MENDS,
    "TRUST_DOMAIN": "a domain like cluster.local",
    "SECRET_TTL": "a duration like 24h, 90m or 3600s",
    "DRAIN_SECONDS": "a duration like 20s",
}


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one waypoint. Paths are as given; nothing has been opened or resolved yet."""

    pod_name: str
    pod_namespace: str
    service_account: str
    instance_ip: IPv4Address | IPv6Address
    gateway_name: str
    gateway_class: str
    root_namespace: str
    control_plane: ControlPlane
    trust_domain: str
    network: str
    secret_ttl: int
    """Seconds of life asked for the certificate."""
    drain_seconds: int
    """How long requests in progress may take to finish after SIGTERM."""
    tracing: Tracing | None
    """None where no spans are made."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Config:
        """Take the settings from an environment; raises SettingsError with all faults at once."""
        variables = settings.Variables(environment, _MENDS)
        config = cls(
            pod_name=variables.required("POD_NAME"),
            pod_namespace=variables.required("POD_NAMESPACE"),
            service_account=variables.required("SERVICE_ACCOUNT"),
            instance_ip=variables.get("INSTANCE_IP", ip_address, "127.0.0.1"),
            gateway_name=variables.required("GATEWAY_NAME"),
            gateway_class=variables.get("GATEWAY_CLASS", settings.name, "istio-waypoint"),
            root_namespace=variables.get("ROOT_NAMESPACE", settings.name, "istio-system"),
            control_plane=ControlPlane.read(variables),
            trust_domain=variables.get("TRUST_DOMAIN", settings.domain, "cluster.local"),
            network=variables.get("NETWORK", str, ""),
            secret_ttl=variables.get("SECRET_TTL", settings.seconds, "24h"),
            drain_seconds=variables.get("DRAIN_SECONDS", settings.seconds, "20s"),
            tracing=Tracing.read(variables),
        )
        variables.check()
        return config

    @classmethod
    def from_process(cls) -> Config:
        """The settings of this very process."""
        return cls.read(os.environ)

    @property
    def identity(self) -> Identity:
        """Who this waypoint is."""
        return Identity(self.trust_domain, self.pod_namespace, self.service_account)

    @property
    def gateway(self) -> Gateway:
        """Which waypoint this is."""
        return Gateway(
            self.pod_namespace,
            self.gateway_name,
            self.network,
            self.instance_ip,
            self.gateway_class,
            self.root_namespace,
        )
