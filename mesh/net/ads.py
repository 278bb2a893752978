"""The proxies' delta xDS client: a sync gRPC stub in one thread, its results handed to trio.

The thread reads, decodes and acknowledges; the trio side applies. So a large first response does not hold up the data
path, and an acknowledgement says that the changes are in force.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import trio

from mesh.net.controlplane import Endpoint, Metadata, reason_of
from mesh.xds.intake import take
from mesh.xds.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.xds.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mesh.snapshot import Change
    from mesh.xds.codec import Rejection
    from mesh.xds.node import Node

_METHOD: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_FIRST_PAUSE: Final = 0.010
_LONGEST_PAUSE: Final = 15.0

_log = logging.getLogger("ads")


@dataclass(frozen=True, slots=True)
class XdsEndpoint(Endpoint):
    """The control plane as one proxy sees it: with the proxy's own description."""

    node: Node = field(kw_only=True)


def _nothing(*_: object) -> None:
    """For a caller that does not want to know."""


async def subscribe(
    endpoint: XdsEndpoint,
    types: Sequence[str],
    changes: Callable[[list[Change]], Sequence[Rejection]],
    *,
    connected: Callable[[bool], None] = _nothing,
    synced: Callable[[], None] = _nothing,
) -> None:
    """Follow all resources of these types, for ever; reconnect by itself, with what is held already.

    All callbacks run in the trio thread. `changes` gets what one response changed and returns what it cannot accept,
    which is then refused (NACK) while the rest stays in force. `connected(True)` tells of a stream's first response,
    `connected(False)` of its end; `synced` comes once, when every type was answered.
    """
    subscriber = Subscriber(endpoint.node.message(), types)
    pause, said = 0.0, ""
    told = False

    def deliver(new: list[Change], *, fresh: bool) -> Sequence[Rejection]:
        nonlocal pause, said
        if fresh:
            pause, said = 0.0, ""
            _log.info("connected to %s", endpoint.address)
            connected(True)
        return changes(new)

    def settled() -> None:
        nonlocal told
        if subscriber.synced and not told:
            told = True
            synced()

    while True:
        stream = _Stream(endpoint, subscriber, deliver, settled)
        fault = await stream.run()
        connected(False)
        if fault != said:
            _log.warning("the stream from %s ended: %s", endpoint.address, fault or "the server closed it")
            said = fault
        if fault:
            pause = min(_LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)
        await trio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads clients, guards nothing


class _Stream:
    """One stream, from connection to end."""

    def __init__(
        self,
        endpoint: XdsEndpoint,
        subscriber: Subscriber,
        deliver: Callable[..., Sequence[Rejection]],
        settled: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self._subscriber = subscriber
        self._deliver = deliver
        self._settled = settled
        self._requests: SimpleQueue[DeltaDiscoveryRequest | None] = SimpleQueue()
        self._lock = Lock()
        self._call: Any = None
        self._cancelled = False

    async def run(self) -> str:
        """Serve until the stream ends: "" if the server ended it in order, else why. Cancellation ends it at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_with_scope)
            fault = await trio.to_thread.run_sync(self._work, limiter=trio.CapacityLimiter(1))
            nursery.cancel_scope.cancel()
        return fault

    async def _cancel_with_scope(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with self._lock:
                self._cancelled = True
                if self._call is not None:
                    self._call.cancel()

    def _work(self) -> str:
        """The thread's whole life."""
        try:
            metadata = self._endpoint.metadata()
            channel = self._endpoint.channel()
        except (OSError, UnicodeError) as fault:
            return str(fault)
        with channel:
            try:
                self._converse(channel, metadata)
            except grpc.RpcError as fault:
                return reason_of(fault)
            finally:
                self._requests.put(None)
        return ""

    def _converse(self, channel: grpc.Channel, metadata: Metadata) -> None:
        stub = channel.stream_stream(
            _METHOD,
            request_serializer=DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=DeltaDiscoveryResponse.FromString,
        )
        for request in self._subscriber.opening():
            self._requests.put(request)
        with self._lock:
            if self._cancelled:
                return
            self._call = stub(self._outgoing(), metadata=metadata)
        fresh = True
        for response in cast("Iterator[DeltaDiscoveryResponse]", self._call):
            self._take(response, fresh=fresh)
            fresh = False

    def _take(self, response: DeltaDiscoveryResponse, *, fresh: bool) -> None:
        delivery = self._subscriber.receive(response)
        if delivery is None:
            _log.warning("ignoring a response of type %s, which was not asked for", response.type_url)
            return
        intake = take(self._subscriber, delivery)
        refused = trio.from_thread.run_sync(lambda: self._deliver(list(intake.changes), fresh=fresh))
        faults = [*intake.rejections, *refused]
        for one in faults:
            _log.warning("refusing %s", one)
        self._requests.put(self._subscriber.settle(delivery, [(one.name, one.reason) for one in faults]))
        trio.from_thread.run_sync(self._settled)

    def _outgoing(self) -> Iterator[DeltaDiscoveryRequest]:
        while (request := self._requests.get()) is not None:
            yield request
