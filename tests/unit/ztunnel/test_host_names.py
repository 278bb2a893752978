"""Which service a pod means by a name. The forms are those of ztunnel's own tests."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from mesh.address import NetworkAddress
from mesh.snapshot import Snapshot
from mesh.workload import Balancing, Membership, Service, Workload
from ztunnel.channel.message import Resolved
from ztunnel.supervisor.names import resolve
from ztunnel.supervisor.place import Place
from ztunnel.worker.start import Pod

POD = Pod("uid", "web", "ns1", "web")


def service(namespace: str, host: str, *ips: str, canonical: bool = False) -> Service:
    addresses = tuple(NetworkAddress("", ip_address(ip)) for ip in ips)
    return Service(host.partition(".")[0], namespace, host, addresses, canonical=canonical)


HEADLESS = service("ns1", "headless.ns1.svc.cluster.local", canonical=True)
KNOWN = Snapshot.of([
    service("ns1", "details.ns1.svc.cluster.local", "10.96.0.1", canonical=True),
    service("ns2", "details.ns2.svc.cluster.local", "10.96.0.2", "fd00::2", canonical=True),
    service("ns1", "www.google.com", "1.1.1.1"),
    service("ns2", "www.google.com", "1.1.1.2"),
    service("ns1", "*.wildcard.com", "2.1.1.1"),
    service("ns1", "special.wildcard.com", "2.1.1.2"),
    service("ns2", "preferred.example.com", "3.1.1.2"),
    service("ns1", "passed.example.com"),
    replace(service("ns2", "elsewhere.example.com"), addresses=(NetworkAddress("far", ip_address("9.9.9.9")),)),
    HEADLESS,
    *(
        Workload(str(n), str(n), "ns1", addresses=(ip_address(f"10.0.0.{n}"),), services=(Membership(HEADLESS.key),),
                 healthy=n != 3, network="far" if n == 4 else "")
        for n in (1, 2, 3, 4)
    ),
])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "addresses", "alias"),
    [
        ("details", ["10.96.0.1"], ""),
        ("details.ns1", ["10.96.0.1"], ""),
        ("details.ns1.svc", ["10.96.0.1"], ""),
        ("details.ns1.svc.cluster.local", ["10.96.0.1"], ""),
        ("details.ns2", ["10.96.0.2", "fd00::2"], ""),
        ("details.ns2.ns1.svc.cluster.local", ["10.96.0.2", "fd00::2"], "details.ns2.svc.cluster.local"),
        ("www.google.com", ["1.1.1.1"], ""),
        ("www.google.com.ns1.svc.cluster.local", ["1.1.1.1"], "www.google.com"),
        ("www.google.com.svc.cluster.local", ["1.1.1.1"], "www.google.com"),
        ("www.google.com.cluster.local", ["1.1.1.1"], "www.google.com"),
        ("preferred.example.com", ["3.1.1.2"], ""),
        ("a.wildcard.com", ["2.1.1.1"], ""),
        ("a.b.wildcard.com", ["2.1.1.1"], ""),
        ("special.wildcard.com", ["2.1.1.2"], ""),
        ("a.wildcard.com.ns1.svc.cluster.local", ["2.1.1.1"], ""),
        ("headless", ["10.0.0.1", "10.0.0.2"], ""),
        ("elsewhere.example.com", [], ""),
    ],
)
def test_known_names(name, addresses, alias):
    found = resolve(KNOWN, Place("cluster.local", "Kubernetes", ""), POD, name)
    assert found == Resolved(name, True, alias, tuple(map(ip_address, addresses)))


@pytest.mark.parametrize(
    "name", ["gone", "wildcard.com", "google.com", "passed.example.com", "pod.headless.ns1.svc.cluster.local", "com"]
)
def test_names_that_are_others_to_answer(name):
    assert not resolve(KNOWN, Place("cluster.local", "Kubernetes", ""), POD, name).known


def test_unready_pods_are_named_where_the_service_publishes_them():
    open_to_all = replace(HEADLESS, balancing=Balancing(unhealthy_too=True))
    known = Snapshot.of([*KNOWN.resources(), open_to_all])
    found = resolve(known, Place("cluster.local", "Kubernetes", ""), POD, "headless")
    assert found.addresses == tuple(map(ip_address, ("10.0.0.1", "10.0.0.2", "10.0.0.3")))


def test_another_cluster_domain():
    known = Snapshot.of([service("ns1", "details.ns1.svc.mesh.company", "10.96.0.1", canonical=True)])
    place = Place("cluster.local", "Kubernetes", "", "mesh.company")
    assert resolve(known, place, POD, "details.ns1.svc").known
    assert not resolve(known, place, POD, "details.ns1.svc.cluster.local").known
