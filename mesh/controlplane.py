"""Where a proxy finds its control plane and how it is known there, as an operator tells it by environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh import settings

_ISTIOD: Final = "https://istiod.istio-system.svc:15012"

MENDS: Final = {
    "XDS_ADDRESS": "a URL like https://istiod.istio-system.svc:15012",
    "CA_ADDRESS": "a URL like https://istiod.istio-system.svc:15012, or leave it out to use XDS_ADDRESS",
    "XDS_ROOT_CA": "the absolute path of a PEM file with istiod's root certificate",
    "AUTH_TOKEN": "the absolute path of the service account token's file",
    "CLUSTER_ID": "the cluster's name, as istiod knows it",
}
"""For each variable that is read here, what to set it to."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """How one proxy reaches istiod. Paths are as given; nothing has been opened or resolved yet."""

    xds_address: str
    """URL of istiod's xDS server; http only where no TLS is wanted."""
    ca_address: str
    """URL of the certificate authority; the xDS server's unless told."""
    root_ca: Path
    """PEM file with the roots that istiod's own certificate is checked against."""
    server_name: str
    """The name expected in istiod's certificate, where it is not the address's host; empty if it is."""
    token: Path
    """File with the projected service account token; read anew for every call."""
    cluster_id: str

    @classmethod
    def read(cls, variables: settings.Variables) -> ControlPlane:
        """Take the settings from an environment whose mends include `MENDS`; faults are left for its `check`."""
        xds_address = variables.get("XDS_ADDRESS", settings.url, _ISTIOD)
        return cls(
            xds_address=xds_address,
            ca_address=variables.get("CA_ADDRESS", settings.url, xds_address),
            root_ca=Path(variables.get("XDS_ROOT_CA", settings.path, "/var/run/secrets/istio/root-cert.pem")),
            server_name=variables.get("ALT_XDS_HOSTNAME", str, ""),
            token=Path(variables.get("AUTH_TOKEN", settings.path, "/var/run/secrets/tokens/istio-token")),
            cluster_id=variables.get("CLUSTER_ID", settings.name, "Kubernetes"),
        )
