"""What an operator tells a node's ztunnel, by environment variables of the names that Istio's ztunnel reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from mesh import controlplane, settings, tracing
from mesh.controlplane import ControlPlane
from mesh.tracing import Tracing
from ztunnel import drain

_KEEPER: Final = "keeper.sock"

_MENDS: Final = {
    "NODE_NAME": "the name of this Kubernetes node",
    "INPOD_UDS": "the absolute path of the CNI agent's socket",
    **controlplane.MENDS,
    **tracing.MENDS,
    "CLUSTER_DOMAIN": "the domain of the cluster's services, like cluster.local",
    "AMBIT_RESOLV_CONF": "the absolute path of a resolv.conf",
    "TRUST_DOMAIN": "a domain like cluster.local",
    "SECRET_TTL": "a duration like 24h, 90m or 3600s",
    "POD_NAME": "the name of ztunnel's pod",
    "POD_NAMESPACE": "the namespace of ztunnel's pod",
    "INSTANCE_IP": "the IP address of ztunnel's pod",
    "AMBIT_RUN_DIR": "the absolute path of a directory that root may make",
    "CRL_PATH": "the absolute path of a PEM file with revocation lists, or leave it out",
    "AMBIT_WORKER_CONNECTIONS": "a number like 16384",
    "CONNECTION_TERMINATION_DEADLINE": "a duration like 5s",
    "TERMINATION_GRACE_PERIOD_SECONDS": "the seconds that ztunnel's pod has to end",
    "AMBIT_UPGRADE_DRAIN_DEADLINE": "a duration like 1h or 90s",
}


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one node's ztunnel. Paths are as given; nothing has been opened or resolved yet."""

    node_name: str
    inpod_uds: Path
    """The CNI agent's SOCK_SEQPACKET socket."""
    control_plane: ControlPlane
    trust_domain: str
    cluster_domain: str
    """What the full names of services end in."""
    resolv_conf: Path
    """Names the servers to ask for what the mesh does not know; ztunnel's own, as a pod of the cluster's DNS policy."""
    network: str
    secret_ttl: int
    """Seconds of life asked for a workload certificate."""
    pod_name: str
    pod_namespace: str
    instance_ip: IPv4Address | IPv6Address
    crl_path: Path | None
    """File with revocation lists, PEM; read anew when it changes. None if nothing is to be looked up."""
    run_dir: Path
    """Directory of the node proxy's own sockets; made by the keeper."""
    connections: int
    """Of every pod: its own calls, and as many by its callers (ztunnel.worker.start.Settings)."""
    drain_seconds: float
    """How long connections may go on when the node stops, or their pod leaves."""
    relieved_seconds: float
    """How long they may go on with a worker that was replaced by one of another version or of other settings."""
    tracing: Tracing | None
    """None where no spans are made."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Config:
        """Take the settings from an environment; raises SettingsError with all faults at once."""
        variables = settings.Variables(environment, _MENDS)
        config = cls(
            control_plane=ControlPlane.read(variables),
            node_name=variables.required("NODE_NAME"),
            inpod_uds=Path(variables.get("INPOD_UDS", settings.path, "/var/run/ztunnel/ztunnel.sock")),
            trust_domain=variables.get("TRUST_DOMAIN", settings.domain, "cluster.local"),
            cluster_domain=variables.get("CLUSTER_DOMAIN", settings.domain, "cluster.local"),
            resolv_conf=Path(variables.get("AMBIT_RESOLV_CONF", settings.path, "/etc/resolv.conf")),
            network=variables.get("NETWORK", str, ""),
            secret_ttl=variables.get("SECRET_TTL", settings.seconds, "24h"),
            pod_name=variables.get("POD_NAME", settings.name, "ztunnel"),
            pod_namespace=variables.get("POD_NAMESPACE", settings.name, "istio-system"),
            instance_ip=variables.get("INSTANCE_IP", ip_address, "127.0.0.1"),
            crl_path=variables.get("CRL_PATH", _path_if_any, ""),
            connections=variables.get("AMBIT_WORKER_CONNECTIONS", settings.count, "16384"),
            run_dir=_run_dir(variables),
            drain_seconds=_drain_seconds(variables),
            relieved_seconds=variables.get("AMBIT_UPGRADE_DRAIN_DEADLINE", settings.seconds, "1h"),
            tracing=Tracing.read(variables),
        )
        variables.check()
        return config

    @classmethod
    def from_process(cls) -> Config:
        """The settings of this very process."""
        return cls.read(os.environ)

    @property
    def keeper_socket(self) -> Path:
        """Where the keeper listens for `ztunnel upgrade`."""
        return self.run_dir / _KEEPER

    @property
    def supervisor_socket(self) -> Path:
        """Where workers find the supervisor."""
        return self.run_dir / "supervisor.sock"


def keeper_socket() -> Path:
    """Where this node's keeper listens, by what little of the settings a command is given; raises SettingsError."""
    variables = settings.Variables(os.environ, _MENDS)
    run_dir = _run_dir(variables)
    variables.check()
    return run_dir / _KEEPER


def _run_dir(variables: settings.Variables) -> Path:
    return Path(variables.get("AMBIT_RUN_DIR", settings.path, "/run/ambit/ztunnel"))


def _drain_seconds(variables: settings.Variables) -> float:
    deadline = variables.get("CONNECTION_TERMINATION_DEADLINE", _seconds_if_any, "")
    grace = variables.get("TERMINATION_GRACE_PERIOD_SECONDS", _seconds_if_any, "")
    return drain.seconds_to_end(deadline, grace)


def _path_if_any(text: str) -> Path | None:
    return Path(settings.path(text)) if text else None


def _seconds_if_any(text: str) -> float | None:
    """Whole seconds or a duration; None for nothing at all."""
    if not text:
        return None
    return float(text) if text.isdecimal() else float(settings.seconds(text))
