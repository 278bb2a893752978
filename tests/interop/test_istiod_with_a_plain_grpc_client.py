"""istiod-lite spoken to in plain gRPC, message by message, as Istio's own ztunnel and its CA client do it."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesh import pki
from mesh.identity import Identity
from mesh.xds.pb.citadel_pb2 import IstioCertificateRequest, IstioCertificateResponse
from mesh.xds.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Status
from mesh.xds.pb.workload_pb2 import Address
from mesh.xds.resource import ADDRESS, AUTHORIZATION
from tests.istiod_for_tests import Istiod, pod, running, service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.interop

DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
WEB_1, WEB = "Kubernetes//Pod/shop/web-1", "shop/web.shop.svc.cluster.local"


@pytest.fixture
def istiod(tmp_path: Path) -> Iterator[Istiod]:
    with running(tmp_path, web=service("web", "10.96.0.20") + "\n---\n" + pod("web-1", "10.244.1.5")) as started:
        yield started


class Stream:
    """One stream, driven by hand."""

    def __init__(self, istiod: Istiod, token: str) -> None:
        self._channel = channel_to(istiod)
        self._requests: SimpleQueue[DeltaDiscoveryRequest | None] = SimpleQueue()
        self._responses: SimpleQueue[DeltaDiscoveryResponse | grpc.RpcError] = SimpleQueue()
        stub = self._channel.stream_stream(
            DELTA,
            request_serializer=DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=DeltaDiscoveryResponse.FromString,
        )
        self._call = stub(iter(self._requests.get, None), metadata=(("authorization", f"Bearer {token}"),))
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._responses.put(response)
        except grpc.RpcError as fault:
            self._responses.put(fault)

    def say(self, type_url: str = ADDRESS, **fields: object) -> None:
        self._requests.put(DeltaDiscoveryRequest(type_url=type_url, **fields))

    def ack(self, response: DeltaDiscoveryResponse) -> None:
        self.say(response.type_url, response_nonce=response.nonce)

    def hear(self) -> DeltaDiscoveryResponse:
        response = self._responses.get(timeout=10)
        assert isinstance(response, DeltaDiscoveryResponse), response
        return response

    def hear_nothing(self) -> bool:
        try:
            self._responses.get(timeout=0.3)
        except Empty:
            return True
        return False

    def close(self) -> None:
        self._requests.put(None)
        self._channel.close()


def channel_to(istiod: Istiod) -> grpc.Channel:
    roots = grpc.ssl_channel_credentials((istiod.state / "root-cert.pem").read_bytes())
    name = (("grpc.ssl_target_name_override", "istiod.istio-system.svc"),)
    return grpc.secure_channel(f"127.0.0.1:{istiod.port}", roots, name)


def ztunnel() -> Node:
    node = Node(id="ztunnel~1.1.1.1~ztunnel-x.istio-system~istio-system.svc.cluster.local")
    node.metadata.update({"NAME": "ztunnel-x", "NAMESPACE": "istio-system", "NODE_NAME": "node-1"})
    return node


@pytest.fixture
def stream(istiod: Istiod) -> Iterator[Stream]:
    opened = Stream(istiod, istiod.issuer.token("istio-system", "ztunnel", node="node-1"))
    yield opened
    opened.close()


def names(response: DeltaDiscoveryResponse) -> list[str]:
    return sorted(one.name for one in response.resources)


def test_an_empty_first_list_means_everything(istiod: Istiod, stream: Stream) -> None:
    stream.say(ADDRESS, node=ztunnel())
    stream.say(AUTHORIZATION)
    first, second = stream.hear(), stream.hear()
    assert (first.type_url, names(first)) == (ADDRESS, [WEB_1, WEB])
    assert (second.type_url, names(second)) == (AUTHORIZATION, []), "a type without resources is answered all the same"
    assert not any(one.aliases for one in first.resources)
    workload = Address.FromString(next(one for one in first.resources if one.name == WEB_1).resource.value).workload
    assert (workload.uid, list(workload.addresses)) == (WEB_1, [bytes([10, 244, 1, 5])])
    stream.ack(first)
    stream.ack(second)
    assert stream.hear_nothing()

    istiod.write("more.yaml", pod("web-2", "10.244.1.6", ready=False))
    third = stream.hear()
    assert names(third) == ["Kubernetes//Pod/shop/web-2"]
    stream.ack(third)
    (istiod.manifests / "more.yaml").unlink()
    assert list(stream.hear().removed_resources) == ["Kubernetes//Pod/shop/web-2"]


def test_a_reconnection_brings_only_the_difference(istiod: Istiod, stream: Stream) -> None:
    stream.say(ADDRESS, node=ztunnel())
    versions = {one.name: one.version for one in stream.hear().resources}
    again = Stream(istiod, istiod.issuer.token("istio-system", "ztunnel", node="node-1"))
    again.say(ADDRESS, node=ztunnel(), initial_resource_versions={**versions, WEB: "old", "gone": "1"})
    response = again.hear()
    assert (names(response), list(response.removed_resources)) == ([WEB], ["gone"])
    again.close()


def test_on_demand_brings_what_is_asked_for_by_name_or_address(istiod: Istiod, stream: Stream) -> None:
    stream.say(ADDRESS, node=ztunnel(), resource_names_subscribe=["*"], resource_names_unsubscribe=["*"])
    assert names(stream.hear()) == []

    stream.say(ADDRESS, resource_names_subscribe=["/10.244.1.5"])
    found = stream.hear()
    assert names(found) == [WEB_1]
    assert list(found.resources[0].aliases) == ["/10.244.1.5"]
    stream.ack(found)

    stream.say(ADDRESS, resource_names_subscribe=["/10.9.9.9"])
    assert list(stream.hear().removed_resources) == ["/10.9.9.9"], "what does not exist is said to be removed"

    istiod.write("more.yaml", service("cart", "10.96.0.21"), pod("cart-1", "10.244.1.7", app="cart"))
    assert stream.hear_nothing(), "nobody asked"
    stream.say(ADDRESS, resource_names_subscribe=["/10.96.0.21"])
    assert names(stream.hear()) == ["Kubernetes//Pod/shop/cart-1", "shop/cart.shop.svc.cluster.local"], (
        "a service brings its endpoints"
    )
    istiod.write("late.yaml", pod("late-1", "10.9.9.9"))
    assert names(stream.hear()) == ["Kubernetes//Pod/shop/late-1"], "a name stays asked for until it exists"


def test_a_nack_is_logged_and_a_stale_one_ignored(istiod: Istiod, stream: Stream) -> None:
    stream.say(ADDRESS, node=ztunnel())
    first = stream.hear()
    stream.say(ADDRESS, response_nonce="stale", error_detail=Status(message="from another time"))
    stream.say(ADDRESS, response_nonce=first.nonce, error_detail=Status(message=f"{WEB_1}: too odd"))
    assert stream.hear_nothing(), "a refused resource is not sent again"
    assert f"refuses {WEB_1}: too odd" in istiod.log
    assert "from another time" not in istiod.log


def test_a_node_without_a_proper_id_is_sent_away(istiod: Istiod, stream: Stream) -> None:
    stream.say(ADDRESS, node=Node(id="somebody"))
    fault = stream._responses.get(timeout=10)
    assert isinstance(fault, grpc.RpcError)
    assert fault.code() is grpc.StatusCode.INVALID_ARGUMENT


DEBUG = ("istio.io/debug", "istio.io/debug/syncz", "type.googleapis.com/envoy.config.cluster.v3.Cluster")


def test_cve_2026_31838_without_a_token_of_its_own_nobody_is_told_anything(istiod: Istiod) -> None:
    for token in ("", "x", istiod.issuer.token("shop", "web", audience="other")):
        opened = Stream(istiod, token)
        opened.say(ADDRESS, node=ztunnel())
        fault = opened._responses.get(timeout=30)
        assert isinstance(fault, grpc.RpcError)
        assert fault.code() is grpc.StatusCode.UNAUTHENTICATED
        opened.close()


@pytest.mark.parametrize("method", ["/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
                                    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                    "/envoy.service.discovery.v3.AggregatedDiscoveryService/Debug"])  # fmt: skip
def test_cve_2026_31838_there_is_no_service_for_debugging(istiod: Istiod, method: str) -> None:
    with channel_to(istiod) as channel, pytest.raises(grpc.RpcError) as fault:
        channel.unary_unary(method)(b"", timeout=30)
    assert fault.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_cve_2026_31838_a_type_for_debugging_brings_nothing(istiod: Istiod, stream: Stream) -> None:
    for url in DEBUG:
        stream.say(url, node=ztunnel())
        heard = stream.hear()
        assert (heard.type_url, names(heard)) == (url, [])
    stream.say(ADDRESS)
    assert names(stream.hear()) == [WEB_1, WEB]


def create(istiod: Istiod, token: str, csr: bytes, seconds: int, impersonate: str = "") -> list[str]:
    request = IstioCertificateRequest(csr=csr.decode(), validity_duration=seconds)
    if impersonate:
        request.metadata.update({"ImpersonatedIdentity": impersonate})
    with channel_to(istiod) as channel:
        method = channel.unary_unary(
            CREATE,
            request_serializer=IstioCertificateRequest.SerializeToString,
            response_deserializer=IstioCertificateResponse.FromString,
        )
        metadata = (("authorization", f"Bearer {token}"), ("clusterid", "Kubernetes"))
        return list(method(request, timeout=10, metadata=metadata).cert_chain)


def test_the_certificate_is_what_ztunnel_expects(istiod: Istiod) -> None:
    identity = Identity("cluster.local", "shop", "web")
    token = istiod.issuer.token("istio-system", "ztunnel", node="node-1")
    leaf, root = map(
        x509.load_pem_x509_certificate,
        (one.encode() for one in create(istiod, token, pki.csr(pki.new_key(), identity), 86400, str(identity))),
    )
    leaf.verify_directly_issued_by(root)
    assert not list(leaf.subject)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical
    assert san.value.get_values_for_type(x509.UniformResourceIdentifier) == [str(identity)]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(extended)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 86400 + 120


@pytest.mark.parametrize(
    ("csr", "seconds", "code"),
    [
        (b"no request at all", 3600, grpc.StatusCode.INVALID_ARGUMENT),
        (pki.csr(pki.new_key(), Identity("cluster.local", "shop", "web")), 3600, grpc.StatusCode.INVALID_ARGUMENT),
        (
            pki.csr(pki.new_key(), Identity("cluster.local", "shop", "cart")),
            91 * 86400,
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (pki.csr(pki.new_key(), Identity("cluster.local", "shop", "cart")), 2**62, grpc.StatusCode.INVALID_ARGUMENT),
        (pki.csr(pki.new_key(), Identity("cluster.local", "shop", "cart")), -(2**62), grpc.StatusCode.INVALID_ARGUMENT),
    ],
    ids=["not a request", "somebody else's", "too long", "absurdly long", "negative"],
)
def test_a_bad_request_is_refused(istiod: Istiod, csr: bytes, seconds: int, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        create(istiod, istiod.issuer.token("shop", "cart"), csr, seconds)
    assert refusal.value.code() is code
