"""What the whole mesh has in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Names that the compiler needs and no object states."""

    trust_domain: str = "cluster.local"
    cluster_id: str = "Kubernetes"
    network: str = ""
    root_namespace: str = "istio-system"
    """The namespace whose policies without a selector hold for the whole mesh."""
    dns_domain: str = "cluster.local"
    """The suffix of service host names."""

    def hostname(self, namespace: str, service: str) -> str:
        """The full host name of a service."""
        return f"{service}.{namespace}.svc.{self.dns_domain}"

    def service_key(self, namespace: str, service: str) -> str:
        """The key of a service in a snapshot."""
        return f"{namespace}/{self.hostname(namespace, service)}"
