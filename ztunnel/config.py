"""What an operator tells a node's ztunnel, by environment variables of the names that Istio's ztunnel reads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

_T = TypeVar("_T")

_ISTIOD: Final = "https://istiod.istio-system.svc:15012"
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class ConfigError(ValueError):
    """One or more variables cannot be used; the text has a line for each that names it and says what to write."""


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
        """Take the settings from an environment; raises ConfigError with all faults at once."""
        reader = _Reader(environment)
        xds_address = reader.get("XDS_ADDRESS", _url, _ISTIOD)
        config = cls(
            node_name=reader.required("NODE_NAME"),
            inpod_uds=reader.get("INPOD_UDS", _path, "/var/run/ztunnel/ztunnel.sock"),
            xds_address=xds_address,
            ca_address=reader.get("CA_ADDRESS", _url, xds_address),
            xds_root_ca=reader.get("XDS_ROOT_CA", _path, "/var/run/secrets/istio/root-cert.pem"),
            alt_xds_hostname=reader.get("ALT_XDS_HOSTNAME", str, ""),
            auth_token=reader.get("AUTH_TOKEN", _path, "/var/run/secrets/tokens/istio-token"),
            cluster_id=reader.get("CLUSTER_ID", _name, "Kubernetes"),
            trust_domain=reader.get("TRUST_DOMAIN", _domain, "cluster.local"),
            network=reader.get("NETWORK", str, ""),
            secret_ttl=reader.get("SECRET_TTL", _seconds, "24h"),
            pod_name=reader.get("POD_NAME", _name, "ztunnel"),
            pod_namespace=reader.get("POD_NAMESPACE", _name, "istio-system"),
            instance_ip=reader.get("INSTANCE_IP", ip_address, "127.0.0.1"),
            run_dir=reader.get("AMBIT_RUN_DIR", _path, "/run/ambit/ztunnel"),
        )
        if reader.faults:
            raise ConfigError("\n".join(reader.faults))
        return config

    @classmethod
    def from_process(cls) -> Config:
        """The settings of this very process."""
        return cls.read(os.environ)

    @property
    def supervisor_socket(self) -> Path:
        """Where workers find the supervisor."""
        return self.run_dir / "supervisor.sock"


class _Reader:
    """Takes variables one by one and remembers every fault, so that an operator mends them in one go."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[str] = []

    def get(self, variable: str, parse: Callable[[str], _T], default: str) -> _T:
        """The parsed value; an empty variable counts as not set, and the default stands in for a faulty one."""
        text = self._environment.get(variable) or default
        try:
            return parse(text)
        except ValueError as error:
            self.faults.append(f"{variable}={text!r}: {error}; set it to {_MENDS[variable]}")
            return parse(default)

    def required(self, variable: str) -> str:
        """A name that nothing can stand in for."""
        name = self.get(variable, _name, "unset")
        if not self._environment.get(variable):
            self.faults.append(f"{variable} is not set: set it to {_MENDS[variable]}")
        return name


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


def _name(text: str) -> str:
    if re.fullmatch(r"\S+", text) is None:
        raise ValueError("a name has no spaces")
    return text


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("not an absolute path")
    return path


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an http or https URL")
    if parts.port is None:
        raise ValueError("the URL has no port")
    return text


def _domain(text: str) -> str:
    if _DOMAIN.fullmatch(text) is None:
        raise ValueError("not a trust domain")
    return text.lower()


def _seconds(text: str) -> int:
    found = _DURATION.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        raise ValueError("not a duration")
    return total
