from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from mesh.address import Address, HostPort, parse_authority, parse_ip


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("10.0.0.1:80", Address(IPv4Address("10.0.0.1"), 80)),
        ("[fd00::1]:15008", Address(IPv6Address("fd00::1"), 15008)),
        ("web.shop.svc.cluster.local:8080", HostPort("web.shop.svc.cluster.local", 8080)),
        ("WEB:65535", HostPort("web", 65535)),
    ],
)
def test_an_authority_is_an_address_or_a_named_host(text: str, meaning: Address | HostPort) -> None:
    assert parse_authority(text) == meaning
    assert parse_authority(str(meaning)) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "10.0.0.1",
        "10.0.0.1:",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "10.0.0.1:8O",
        "10.0.0.1:٨٠",
        "10.0.0.1:+80",
        "10.0.0:80",
        "1:80",
        "010.0.0.1:80",
        "fd00::1:80",
        "[fd00::1%eth0]:80",
        "[10.0.0.1]:80",
        "user@host:80",
        "ho st:80",
        "host\r\n:80",
        "-host:80",
        "a" * 64 + ":80",
        "a." * 200 + "b:80",
    ],
)
def test_a_bad_authority_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match="authority"):
        parse_authority(text)


def test_an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address() -> None:
    assert parse_ip("::ffff:10.1.2.3") == IPv4Address("10.1.2.3")
