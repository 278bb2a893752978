"""A control plane serves what cannot be read: a node refuses that resource, says so, and takes the rest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio

from mesh import pki
from mesh.net import ads
from mesh.workload import Workload
from mesh.xds import codec
from mesh.xds.node import ZTUNNEL, Node
from mesh.xds.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.xds.publisher import Publisher
from mesh.xds.resource import ADDRESS, NODE_TYPES, Catalog, Resource, shelf
from tests.pki_for_tests import authority
from tests.tunnel_ends import until
from ztunnel.supervisor.state import State

pytestmark = pytest.mark.interop

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
GOOD = Workload("Kubernetes//Pod/shop/web", "web", "shop", "web")
BAD = "Kubernetes//Pod/shop/odd"


@dataclass
class ControlPlane:
    """Serves a catalog; keeps what its clients refuse."""

    catalog: Catalog
    refused: list[str] = field(default_factory=list)

    def stream(self, requests: Iterator[DeltaDiscoveryRequest], _: Any) -> Iterator[DeltaDiscoveryResponse]:
        publisher = Publisher()
        for request in requests:
            answer = publisher.receive(request, self.catalog)
            if answer.refused is not None:
                self.refused.append(answer.refused)
            if answer.response is not None:
                yield answer.response


@contextmanager
def served(plane: ControlPlane, folder: Path) -> Iterator[ads.XdsEndpoint]:
    key = pki.new_key()
    chain = pki.issue_server(authority(), key, ("localhost",), datetime.now(UTC))
    method = grpc.stream_stream_rpc_method_handler(
        plane.stream, DeltaDiscoveryRequest.FromString, DeltaDiscoveryResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"DeltaAggregatedResources": method}),)
    )
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pki.key_pem(key), chain)]))
    server.start()
    (folder / "root.pem").write_bytes(authority().certificate_pem)
    (folder / "token").write_text("token")
    node = Node(ZTUNNEL, "ztunnel-1", "istio-system", metadata={"NODE_NAME": "node-1"})
    try:
        yield ads.XdsEndpoint(
            f"https://127.0.0.1:{port}", folder / "root.pem", folder / "token", "localhost", node=node
        )
    finally:
        server.stop(0)


async def test_what_cannot_be_read_is_refused_by_name_and_the_rest_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="ads")
    resources = [codec.encode(GOOD), Resource.of(BAD, b"\xff\xff no protobuf")]
    plane, state = ControlPlane({ADDRESS: shelf(resources)}), State()
    with served(plane, tmp_path) as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(ads.subscribe, synced=state.note_synced), endpoint, NODE_TYPES, state.apply)
            await until(lambda: state.synced and bool(plane.refused))
            nursery.cancel_scope.cancel()
    assert set(state.snapshot.workloads) == {GOOD.uid}
    [refused] = plane.refused
    assert refused.startswith(f"{BAD}: ")
    assert any(f"refusing {BAD}" in record.getMessage() for record in caplog.records)
