"""What an operator tells a node's ztunnel, by environment variables of the names that Istio's ztunnel reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from mesh import settings

_ISTIOD: Final = "https://istiod.istio-system.svc:15012"


_MENDS: Final = {
    "NODE_NAME": "the name of this Kubernetes node",
    "INPOD_UDS": "the absolute path of the CNI agent's socket",
    "XDS_ADDRESS": "a URL like https://istiod.istio-system.svc:15012",
    "CA_ADDRESS": "a URL like https://istiod.istio-system.svc:15012, or leave it out to use XDS_ADDRESS",
    "XDS_ROOT_CA": "the absolute path of a PEM file with istiod's root certificate",
    "AUTH_TOKEN": "the absolute path of the service account token's file",
    "CLUSTER_ID": "the cluster's name, as istiod knows it",
    "TRUST_DOMAIN": "a domain like cluster.local",
    "SECRET_TTL": "a duration like 24h, 90m or 3600s",
    "POD_NAME": "the name of ztunnel's pod",
    "POD_NAMESPACE": "the namespace of ztunnel's pod",
    "INSTANCE_IP": "the IP address of ztunnel's pod",
    "AMBIT_RUN_DIR": "the absolute path of a directory that root may make",
}


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one node's ztunnel. Paths are as given; nothing has been opened or resolved yet."""

    node_name: str
    inpod_uds: Path
    """The CNI agent's SOCK_SEQPACKET socket."""
    xds_address: str
    """URL of istiod's xDS server; http only where no TLS is wanted."""
    ca_address: str
    """URL of the certificate authority; the xDS server's unless told."""
    xds_root_ca: Path
    """PEM file with the roots that istiod's own certificate is checked against."""
    alt_xds_hostname: str
    """The name expected in istiod's certificate, where it is not the address's host; empty if it is."""
    auth_token: Path
    """File with the projected service account token; read anew for every call."""
    cluster_id: str
    trust_domain: str
    network: str
    secret_ttl: int
    """Seconds of life asked for a workload certificate."""
    pod_name: str
    pod_namespace: str
    instance_ip: IPv4Address | IPv6Address
    run_dir: Path
    """Directory of the node proxy's own sockets; made by the keeper."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Config:
        """Take the settings from an environment; raises SettingsError with all faults at once."""
        variables = settings.Variables(environment, _MENDS)
        xds_address = variables.get("XDS_ADDRESS", settings.url, _ISTIOD)
        config = cls(
            node_name=variables.required("NODE_NAME"),
            inpod_uds=Path(variables.get("INPOD_UDS", settings.path, "/var/run/ztunnel/ztunnel.sock")),
            xds_address=xds_address,
            ca_address=variables.get("CA_ADDRESS", settings.url, xds_address),
            xds_root_ca=Path(variables.get("XDS_ROOT_CA", settings.path, "/var/run/secrets/istio/root-cert.pem")),
            alt_xds_hostname=variables.get("ALT_XDS_HOSTNAME", str, ""),
            auth_token=Path(variables.get("AUTH_TOKEN", settings.path, "/var/run/secrets/tokens/istio-token")),
            cluster_id=variables.get("CLUSTER_ID", settings.name, "Kubernetes"),
            trust_domain=variables.get("TRUST_DOMAIN", settings.domain, "cluster.local"),
            network=variables.get("NETWORK", str, ""),
            secret_ttl=variables.get("SECRET_TTL", settings.seconds, "24h"),
            pod_name=variables.get("POD_NAME", settings.name, "ztunnel"),
            pod_namespace=variables.get("POD_NAMESPACE", settings.name, "istio-system"),
            instance_ip=variables.get("INSTANCE_IP", ip_address, "127.0.0.1"),
            run_dir=Path(variables.get("AMBIT_RUN_DIR", settings.path, "/run/ambit/ztunnel")),
        )
        variables.check()
        return config

    @classmethod
    def from_process(cls) -> Config:
        """The settings of this very process."""
        return cls.read(os.environ)

    @property
    def supervisor_socket(self) -> Path:
        """Where workers find the supervisor."""
        return self.run_dir / "supervisor.sock"
