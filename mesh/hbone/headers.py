"""What HBONE says about a connection in header fields: baggage and forwarded; strict, bounded.

Reading untrusted values never raises: what is not well-formed is as good as absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from mesh.address import Address

BAGGAGE: Final = b"baggage"
FORWARDED: Final = b"forwarded"
FORWARDED_NETWORK: Final = b"x-forwarded-network"
ISTIO_SOURCE: Final = b"x-istio-source"

_LONGEST_BAGGAGE: Final = 8192
"""Bytes; W3C Baggage, section 3.3.2, asks that this much be carried."""
_LONGEST_FORWARDED: Final = 512
_WORKLOAD_TYPES: Final = ("deployment", "cronjob", "pod", "job")
_SAFE: Final = "!#$&'()*+-./:<>?@[]^_`{|}~"
"""baggage-octet of W3C Baggage, section 3.3.1, but for the percent sign."""
_FOR: Final = re.compile(r'\s*for=(?:"([^"\\]*)"|([^\s",;=]+))\s*', re.IGNORECASE)
_HOST: Final = re.compile(r'\s*host=(?:"([^"\\]*)"|([^\s",;=]+))\s*', re.IGNORECASE)
_TOKEN: Final = re.compile(r'[^\s",;=\\]+')


@dataclass(frozen=True, slots=True)
class Baggage:
    """Who a workload says it is, for telemetry only: who it is, its certificate says."""

    cluster: str = ""
    namespace: str = ""
    workload_type: str = "deployment"
    """One of deployment, cronjob, pod, job."""
    workload: str = ""
    service: str = ""
    revision: str = ""
    region: str = ""
    zone: str = ""

    def encode(self) -> bytes:
        """The header's value; what is empty is left out."""
        pairs = (
            ("k8s.cluster.name", self.cluster),
            ("k8s.namespace.name", self.namespace),
            (f"k8s.{self.workload_type}.name", self.workload),
            ("service.name", self.service),
            ("service.version", self.revision),
            ("cloud.region", self.region),
            ("cloud.availability_zone", self.zone),
        )
        return ",".join(f"{key}={quote(value, safe=_SAFE)}" for key, value in pairs if value).encode("ascii")

    @classmethod
    def parse(cls, value: bytes) -> Baggage:
        """What the header says; unknown members and properties are passed over, the first of two equal keys counts."""
        members: dict[str, str] = {}
        if len(value) <= _LONGEST_BAGGAGE:
            for member in value.decode("latin-1").split(","):
                key, equals, text = member.partition(";")[0].partition("=")
                if equals:
                    members.setdefault(key.strip(), unquote(text.strip()))
        kind = next((kind for kind in _WORKLOAD_TYPES if members.get(f"k8s.{kind}.name")), _WORKLOAD_TYPES[0])
        return cls(
            members.get("k8s.cluster.name", ""),
            members.get("k8s.namespace.name", ""),
            kind,
            members.get(f"k8s.{kind}.name", ""),
            members.get("service.name", ""),
            members.get("service.version", ""),
            members.get("cloud.region", ""),
            members.get("cloud.availability_zone", ""),
        )


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Where a connection came from, and the service it was meant for (RFC 7239; one element, its last hop's)."""

    source: Address
    host: str = ""

    def encode(self) -> bytes:
        """The header's value."""
        quote_mark = "" if _TOKEN.fullmatch(self.host) else '"'
        host = f";host={quote_mark}{self.host}{quote_mark}" if self.host else ""
        return f'for="{self.source}"{host}'.encode("ascii")

    @classmethod
    def parse(cls, value: bytes) -> Forwarded | None:
        """What the header's only element says; None unless it names an address with a port."""
        if len(value) > _LONGEST_FORWARDED or b"," in value or not value.isascii():
            return None
        source: Address | None = None
        host = ""
        for part in value.decode("latin-1").split(";"):
            by, target = _FOR.fullmatch(part), _HOST.fullmatch(part)
            if by is not None:
                try:
                    source = Address.parse(by[1] or by[2] or "")
                except ValueError:
                    return None
            elif target is not None:
                host = target[1] or target[2] or ""
        return None if source is None else cls(source, host)
