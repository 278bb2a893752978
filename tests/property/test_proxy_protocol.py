"""The PROXY protocol's header: what is written is read, in pieces of any size, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.address import Address, plain_ip
from mesh.identity import Identity
from mesh.proxy_protocol import MalformedHeader, ProxyHeader, parse

ips = st.ip_addresses().map(plain_ip)
addresses = st.builds(Address, ips, st.integers(0, 65535))
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
identities = st.builds(Identity, labels, labels, labels)
headers = st.builds(ProxyHeader, addresses, addresses, st.none() | identities)


@given(headers, st.binary(max_size=64))
def test_a_proxy_header_is_read_back_and_what_follows_is_not_touched(header: ProxyHeader, rest: bytes) -> None:
    written = header.encode()
    assert parse(written + rest) == (header, len(written))


@given(headers, st.data())
def test_a_part_of_a_proxy_header_waits_for_more(header: ProxyHeader, data: st.DataObject) -> None:
    written = header.encode()
    assert parse(written[: data.draw(st.integers(0, len(written) - 1))]) is None


@given(
    st.binary(max_size=256)
    | headers.flatmap(lambda one: st.binary(max_size=64).map(lambda tail: one.encode()[:40] + tail))
)
def test_garbage_is_a_malformed_header_or_one_that_can_be_written_again(garbage: bytes) -> None:
    try:
        found = parse(garbage)
    except MalformedHeader:
        return
    if found is not None:
        header, end = found
        assert end <= len(garbage)
        again = parse(header.encode())
        assert again is not None
        assert again[0] == header


def test_the_bytes_that_others_write() -> None:
    """A header made by hand from the specification, with a value of another type (0x04, a no-op) before Istio's."""
    identity = b"spiffe://cluster.local/ns/shop/sa/web"
    values = b"\x04\x00\x02\x00\x00" + b"\xd0\x00" + bytes([len(identity)]) + identity
    body = bytes([10, 0, 0, 1, 10, 96, 0, 2]) + (40000).to_bytes(2, "big") + (80).to_bytes(2, "big") + values
    written = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + len(body).to_bytes(2, "big") + body
    header = ProxyHeader(
        Address.parse("10.0.0.1:40000"), Address.parse("10.96.0.2:80"), Identity("cluster.local", "shop", "web")
    )
    assert parse(written) == (header, len(written))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GET / HTTP/1.1\r\n", "signature"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "version and command"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x12\x00\x00", "family"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", "too long"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04abcd", "too short"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0e" + bytes(12) + b"\xd0\x00", "head is cut off"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10" + bytes(12) + b"\xd0\x00\x09x", "value is cut off"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10" + bytes(12) + b"\xd0\x00\x01x", "identity"),
    ],
)
def test_what_is_wrong_with_a_proxy_header_is_said(data: bytes, said: str) -> None:
    with pytest.raises(MalformedHeader, match=said):
        parse(data)
