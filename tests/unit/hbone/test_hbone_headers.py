"""baggage, forwarded and traceparent: what is written, and what of a stranger's values is believed."""

from __future__ import annotations

import pytest

from mesh.address import Address
from mesh.hbone.headers import Baggage, Forwarded


def test_baggage_in_full_is_written_in_istios_order() -> None:
    baggage = Baggage("Kubernetes", "shop", "deployment", "web", "web", "v1", "eu", "eu-1a")
    assert baggage.encode() == (
        b"k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=web,service.name=web,"
        b"service.version=v1,cloud.region=eu,cloud.availability_zone=eu-1a"
    )


def test_empty_members_are_left_out() -> None:
    assert Baggage(namespace="shop", workload_type="job", workload="import").encode() == (
        b"k8s.namespace.name=shop,k8s.job.name=import"
    )


@pytest.mark.parametrize("name", ["a,b", "a;b=c", 'quo"te', "ümlaut", "with space", "100%", "a=b"])
def test_any_name_survives(name: str) -> None:
    assert Baggage.parse(Baggage(service=name).encode()).service == name


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"", Baggage()),
        (b"service.name=a,service.name=b", Baggage(service="a")),
        (b" service.name = a ;prop=1 , other=x", Baggage(service="a")),
        (b"service.name", Baggage()),
        (b"k8s.cronjob.name=nightly", Baggage(workload_type="cronjob", workload="nightly")),
        (b"\xff\xfe=%zz,service.version=%41", Baggage(revision="A")),
        (b"service.name=" + b"a" * 9000, Baggage()),
    ],
)
def test_baggage_is_read_leniently_and_never_raises(value: bytes, read: Baggage) -> None:
    assert Baggage.parse(value) == read


@pytest.mark.parametrize(
    ("forwarded", "value"),
    [
        (Forwarded(Address.parse("10.0.0.1:4711")), b'for="10.0.0.1:4711"'),
        (Forwarded(Address.parse("[fd00::1]:80"), "web.shop"), b'for="[fd00::1]:80";host=web.shop'),
    ],
)
def test_forwarded_is_written_and_read(forwarded: Forwarded, value: bytes) -> None:
    assert forwarded.encode() == value
    assert Forwarded.parse(value) == forwarded


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"For=10.0.0.1:80; Host=web", Forwarded(Address.parse("10.0.0.1:80"), "web")),
        (b"host=web", None),
        (b"for=unknown", None),
        (b'for="10.0.0.1"', None),
        (b"for=10.0.0.1:80, for=10.0.0.2:80", None),
        (b"for=" + b"1" * 600, None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_forwarded_is_believed_only_with_an_address_and_a_port(value: bytes, read: Forwarded | None) -> None:
    assert Forwarded.parse(value) == read
