"""The PROXY protocol, version 2: what stands before a connection's bytes to say between whom it really is.

HAProxy's proxy-protocol.txt, section 2.2; the command PROXY over TCP, with one type-length-value of Istio's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from mesh.address import IP, Address, plain_ip
from mesh.identity import Identity

SOURCE_IDENTITY: Final = 0xD0
"""The type under which ztunnel gives the caller's SPIFFE id."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_VERSION_AND_PROXY: Final = 0x21
_TCP_V4: Final = 0x11
_TCP_V6: Final = 0x21
_HEAD: Final = struct.Struct("!12sBBH")
_PORTS: Final = struct.Struct("!HH")
_VALUE: Final = struct.Struct("!BH")
_LONGEST: Final = 4096
"""Bytes behind the head that are read; a header with all that Istio writes has a few hundred."""


class MalformedHeader(ValueError):
    """What came is no header of this kind; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Who called whom."""

    source: Address
    destination: Address
    identity: Identity | None = None
    """Who proved to be calling."""

    def encode(self) -> bytes:
        """The header. Where the families differ both addresses are written as IPv6, the IPv4 one mapped into it."""
        ips: tuple[IP, IP] = (self.source.ip, self.destination.ip)
        v4 = all(ip.version == 4 for ip in ips)
        packed = b"".join((ip if v4 else _as_v6(ip)).packed for ip in ips)
        body = packed + _PORTS.pack(self.source.port, self.destination.port)
        if self.identity is not None:
            text = str(self.identity).encode()
            body += _VALUE.pack(SOURCE_IDENTITY, len(text)) + text
        return _HEAD.pack(_SIGNATURE, _VERSION_AND_PROXY, _TCP_V4 if v4 else _TCP_V6, len(body)) + body


def parse(data: bytes) -> tuple[ProxyHeader, int] | None:
    """The header at the beginning of `data` and its length; None while it is not complete. Raises MalformedHeader.

    Values of other types are passed over.
    """
    if not _SIGNATURE.startswith(data[: len(_SIGNATURE)]):
        raise MalformedHeader("it does not begin with the signature")
    if len(data) < _HEAD.size:
        return None
    _, version, family, length = _HEAD.unpack_from(data)
    if version != _VERSION_AND_PROXY:
        raise MalformedHeader(f"version and command are {version:#x} in place of {_VERSION_AND_PROXY:#x}")
    if family not in {_TCP_V4, _TCP_V6}:
        raise MalformedHeader(f"family {family:#x} is not TCP over IPv4 or IPv6")
    if length > _LONGEST:
        raise MalformedHeader(f"{length} bytes are too long")
    end = _HEAD.size + length
    if len(data) < end:
        return None
    return _body(data[_HEAD.size : end], 4 if family == _TCP_V4 else 16), end


def _body(body: bytes, size: int) -> ProxyHeader:
    fixed = 2 * size + _PORTS.size
    if len(body) < fixed:
        raise MalformedHeader("it is too short for its addresses")
    source_port, destination_port = _PORTS.unpack_from(body, 2 * size)
    source, destination = _ip(body[:size]), _ip(body[size : 2 * size])
    identity: Identity | None = None
    rest = body[fixed:]
    while rest:
        if len(rest) < _VALUE.size:
            raise MalformedHeader("a value's head is cut off")
        kind, length = _VALUE.unpack_from(rest)
        value, rest = rest[_VALUE.size : _VALUE.size + length], rest[_VALUE.size + length :]
        if len(value) < length:
            raise MalformedHeader("a value is cut off")
        if kind == SOURCE_IDENTITY:
            identity = _identity(value)
    return ProxyHeader(Address(source, source_port), Address(destination, destination_port), identity)


def _identity(value: bytes) -> Identity:
    try:
        return Identity.parse(value.decode("ascii"))
    except ValueError as fault:
        raise MalformedHeader(f"the source's identity is none: {fault}") from None


def _ip(packed: bytes) -> IP:
    return plain_ip(IPv6Address(packed)) if len(packed) == 16 else IPv4Address(packed)


def _as_v6(ip: IP) -> IPv6Address:
    return ip if isinstance(ip, IPv6Address) else IPv6Address(b"\0" * 10 + b"\xff\xff" + ip.packed)
