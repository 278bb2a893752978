"""Where something listens, and the text forms of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

IP = IPv4Address | IPv6Address

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LONGEST_NAME: Final = 253
_LONGEST_AUTHORITY: Final = _LONGEST_NAME + len(":65535")


@dataclass(frozen=True, slots=True)
class Address:
    """An IP and a port. Printed as an authority: `10.0.0.1:80`, `[fd00::1]:80`."""

    ip: IP
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `10.0.0.1:80` or `[fd00::1]:80`; a host name is a ValueError here."""
        found = parse_authority(text)
        if isinstance(found, HostPort):
            raise ValueError(f"{text!r} names a host where an IP address is needed")  # noqa: TRY004
        return found

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host name and a port, as a CONNECT may carry in place of an address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """An IP within a named network; the same IP may exist once in every network."""

    network: str
    ip: IP

    def __str__(self) -> str:
        return f"{self.network}/{self.ip}"


def parse_authority(text: str) -> Address | HostPort:
    """Read the authority of a CONNECT (RFC 9113, section 8.5): always with a port, never with user information.

    Raises ValueError with the reason; the text is untrusted and may hold anything.
    """
    if len(text) > _LONGEST_AUTHORITY:
        raise ValueError(f"an authority of {len(text)} characters is too long")
    host, colon, digits = text.rpartition(":")
    if not colon:
        raise ValueError(f"authority {text!r} has no port")
    port = _port(digits, text)
    if host.startswith("[") and host.endswith("]"):
        return Address(_ipv6(host[1:-1], text), port)
    if ":" in host:
        raise ValueError(f"authority {text!r}: an IPv6 address stands in square brackets")
    try:
        return Address(_ipv4(host), port)
    except ValueError:
        return HostPort(_host_name(host, text), port)


@lru_cache(maxsize=1024)
def parse_ip(text: str) -> IP:
    """Read an IP address; an IPv4 address mapped into IPv6 is given back as the IPv4 address it stands for.

    Remembered, because a proxy reads the same few again and again.
    """
    return plain_ip(ip_address(text))


def plain_ip(ip: IP) -> IP:
    """The IPv4 address behind a mapped one (`::ffff:10.0.0.1`, what a dual-stack socket reports), else `ip`."""
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _port(digits: str, whole: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5) or not 0 < int(digits) < 65536:
        raise ValueError(f"authority {whole!r}: {digits!r} is no port")
    return int(digits)


@lru_cache(maxsize=1024)
def _ipv4(text: str) -> IPv4Address:
    """Remembered, as above."""
    return IPv4Address(text)


def _ipv6(text: str, whole: str) -> IPv6Address:
    if "%" in text:
        raise ValueError(f"authority {whole!r}: a zone means nothing to the other side")
    try:
        return IPv6Address(text)
    except ValueError as fault:
        raise ValueError(f"authority {whole!r}: {fault}") from None


def _host_name(host: str, whole: str) -> str:
    name = host.lower().removesuffix(".")
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"authority {whole!r}: {host!r} is no host name")
    if name.replace(".", "").isdigit():
        raise ValueError(f"authority {whole!r}: {host!r} is no IPv4 address")
    return name
