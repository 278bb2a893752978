"""What a waypoint is told by its Deployment, by environment variables of the names that Istio's proxies read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from mesh.identity import Identity
from waypoint.callee import Gateway

_T = TypeVar("_T")

_ISTIOD: Final = "https://istiod.istio-system.svc:15012"
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class ConfigError(ValueError):
    """One or more variables cannot be used; the text has a line for each that names it and says what to write."""


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
    xds_address: str
    """URL of istiod's xDS server."""
    ca_address: str
    """URL of the certificate authority; the xDS server's unless told."""
    xds_root_ca: Path
    """PEM file with the roots that istiod's own certificate is checked against."""
    alt_xds_hostname: str
    """The name expected in istiod's certificate, where it is not the address's host; empty if it is."""
    auth_token: Path
    """File with the projected service account token; read anew for every call."""
    trust_domain: str
    cluster_id: str
    network: str
    secret_ttl: int
    """Seconds of life asked for the certificate."""
    drain_seconds: int
    """How long requests in progress may take to finish after SIGTERM."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Config:
        """Take the settings from an environment; raises ConfigError with all faults at once."""
        reader = _Reader(environment)
        xds_address = reader.get("XDS_ADDRESS", _url, _ISTIOD)
        config = cls(
            pod_name=reader.required("POD_NAME"),
            pod_namespace=reader.required("POD_NAMESPACE"),
            service_account=reader.required("SERVICE_ACCOUNT"),
            instance_ip=reader.get("INSTANCE_IP", ip_address, "127.0.0.1"),
            gateway_name=reader.required("GATEWAY_NAME"),
            gateway_class=reader.get("GATEWAY_CLASS", _name, "istio-waypoint"),
            root_namespace=reader.get("ROOT_NAMESPACE", _name, "istio-system"),
            xds_address=xds_address,
            ca_address=reader.get("CA_ADDRESS", _url, xds_address),
            xds_root_ca=reader.get("XDS_ROOT_CA", _path, "/var/run/secrets/istio/root-cert.pem"),
            alt_xds_hostname=reader.get("ALT_XDS_HOSTNAME", str, ""),
            auth_token=reader.get("AUTH_TOKEN", _path, "/var/run/secrets/tokens/istio-token"),
            trust_domain=reader.get("TRUST_DOMAIN", _name, "cluster.local"),
            cluster_id=reader.get("CLUSTER_ID", _name, "Kubernetes"),
            network=reader.get("NETWORK", str, ""),
            secret_ttl=reader.get("SECRET_TTL", _seconds, "24h"),
            drain_seconds=reader.get("DRAIN_SECONDS", _seconds, "20s"),
        )
        if reader.faults:
            raise ConfigError("\n".join(reader.faults))
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
        if not self._environment.get(variable):
            self.faults.append(f"{variable} is not set: set it to {_MENDS[variable]}")
            return "unset"
        return self.get(variable, _name, "unset")


_MENDS: Final = {
    "POD_NAME": "the name of this pod",
    "POD_NAMESPACE": "the namespace of this pod",
    "SERVICE_ACCOUNT": "the service account of this pod",
    "INSTANCE_IP": "the IP address of this pod",
    "GATEWAY_NAME": "the name of the Gateway that this waypoint serves",
    "GATEWAY_CLASS": "the name of the Gateway's class, like istio-waypoint",
    "ROOT_NAMESPACE": "the namespace whose policies are mesh-wide, like istio-system",
    "XDS_ADDRESS": "a URL like https://istiod.istio-system.svc:15012",
    "CA_ADDRESS": "a URL like https://istiod.istio-system.svc:15012, or leave it out to use XDS_ADDRESS",
    "XDS_ROOT_CA": "the absolute path of a PEM file with istiod's root certificate",
    "AUTH_TOKEN": "the absolute path of the service account token's file",
    "TRUST_DOMAIN": "a domain like cluster.local",
    "CLUSTER_ID": "the cluster's name, as istiod knows it",
    "SECRET_TTL": "a duration like 24h, 90m or 3600s",
    "DRAIN_SECONDS": "a duration like 20s",
}


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError("not a name")
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


def _seconds(text: str) -> int:
    found = _DURATION.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        raise ValueError("not a duration")
    return total
