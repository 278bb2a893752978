"""The delta ADS service: every proxy's stream, and pushing to each what concerns it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import grpc

from istiod_lite.publish import Publication
from mesh.xds.node import Node
from mesh.xds.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.xds.publisher import Publisher
from mesh.xds.resource import WAYPOINT_TYPES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from istiod_lite.doorkeeper import Doorkeeper
    from istiod_lite.tokens import Caller

    _Context = grpc.aio.ServicerContext[Any, Any]

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_PENDING_REQUESTS: Final = 64

_log = logging.getLogger("ads")


class _Client:
    """One stream: its publisher, and what happened that it has not been told yet."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.publisher = Publisher(node.waypoint)
        self.requests: asyncio.Queue[DeltaDiscoveryRequest] = asyncio.Queue(_PENDING_REQUESTS)
        self.dirty: dict[str, set[str]] = {}
        self.wake = asyncio.Event()
        self.ended = False


class DiscoveryService:
    """Serves the newest publication to all streams, each at its own pace."""

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper
        self._now = Publication()
        self._clients: set[_Client] = set()

    def publish(self, publication: Publication) -> None:
        """Serve this from now on. A client that is slow gets the newest state of all it missed, once."""
        self._now = publication
        for client in self._clients:
            for url, names in publication.changes.items():
                client.dirty.setdefault(url, set()).update(names)
            client.wake.set()

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """What the gRPC server is to be given."""
        method = grpc.stream_stream_rpc_method_handler(
            self.stream,
            request_deserializer=DeltaDiscoveryRequest.FromString,
            response_serializer=DeltaDiscoveryResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"DeltaAggregatedResources": method})

    async def stream(self, requests: AsyncIterator[DeltaDiscoveryRequest], context: _Context) -> None:
        """Serve one stream until its end."""
        caller = await self._doorkeeper.admit(context)
        first = await anext(requests, None)
        if first is None:
            return
        client = _Client(await self._node(first, caller, context))
        client.requests.put_nowait(first)
        client.wake.set()
        self._clients.add(client)
        _log.info("%s connected", client.node.id)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(_read(requests, client))
                await self._serve(client, context)
                reading.cancel()
        finally:
            self._clients.discard(client)
            _log.info("%s left", client.node.id)

    async def _node(self, first: DeltaDiscoveryRequest, caller: Caller, context: _Context) -> Node:
        """The proxy that the first request describes; a waypoint must be what its token says."""
        try:
            node = Node.read(first.node)
        except ValueError as fault:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(fault))
        if node.waypoint is not None and caller.namespace != node.namespace:
            _log.warning("refused %s, which calls itself %s", caller, node.id)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{caller} is not of namespace {node.namespace}")
        return node

    async def _serve(self, client: _Client, context: _Context) -> None:
        while not client.ended or not client.requests.empty():
            await client.wake.wait()
            client.wake.clear()
            while not client.requests.empty():
                answer = client.publisher.receive(client.requests.get_nowait(), self._now.catalog)
                if answer.refused is not None:
                    _log.warning("%s refuses %s", client.node.id, answer.refused)
                if answer.response is not None:
                    await context.write(answer.response)
            for url in WAYPOINT_TYPES:
                response = client.publisher.publish(url, client.dirty.pop(url, ()), self._now.catalog)
                if response is not None:
                    await context.write(response)


async def _read(requests: AsyncIterator[DeltaDiscoveryRequest], client: _Client) -> None:
    async for request in requests:
        await client.requests.put(request)
        client.wake.set()
    client.ended = True
    client.wake.set()
