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

    from mesh.controlplane import ControlPlane
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

    @classmethod
    def of(cls, plane: ControlPlane, node: Node) -> XdsEndpoint:
        """The xDS server of a control plane, to be asked as `node`."""
        return cls(plane.xds_address, plane.root_ca, plane.token, plane.server_name, plane.cluster_id, node=node)


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
    link = _Link(endpoint, Subscriber(endpoint.node.message(), types), changes, connected, synced)
    pause = 0.0
    while True:
        fault = await _Stream(link).run()
        if link.up and not fault:
            pause = 0.0
        elif link.up:
            pause = _FIRST_PAUSE
        else:
            pause = min(_LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)
        link.broken(fault or "the server closed it")
        await trio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads clients, guards nothing


class _Link:
    """What outlives the streams: what is subscribed to, whom to tell, and what was told already."""

    def __init__(
        self,
        endpoint: XdsEndpoint,
        subscriber: Subscriber,
        changes: Callable[[list[Change]], Sequence[Rejection]],
        connected: Callable[[bool], None],
        synced: Callable[[], None],
    ) -> None:
        self.endpoint = endpoint
        self.subscriber = subscriber
        self.up = False
        self._changes = changes
        self._connected = connected
        self._synced = synced
        self._was_synced = False
        self._complaint = ""

    def deliver(self, changes: list[Change]) -> Sequence[Rejection]:
        """Hand over what a response changed; the first one of a stream shows that the stream is up."""
        if not self.up:
            self.up, self._complaint = True, ""
            _log.info("connected to %s", self.endpoint.address)
            self._connected(True)
        return self._changes(changes)

    def settled(self) -> None:
        """Tell, once, that all types were answered."""
        if self.subscriber.synced and not self._was_synced:
            self._was_synced = True
            self._synced()

    def broken(self, why: str) -> None:
        """Tell that there is no stream; the same reason is logged once and not at every attempt."""
        if why != self._complaint:
            _log.warning("the stream from %s ended: %s", self.endpoint.address, why)
            self._complaint = why
        if self.up:
            self.up = False
            self._connected(False)


class _Stream:
    """One stream, from connection to end."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._subscriber = link.subscriber
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
            metadata = self._link.endpoint.metadata()
            channel = self._link.endpoint.channel()
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
        for response in cast("Iterator[DeltaDiscoveryResponse]", self._call):
            self._take(response)

    def _take(self, response: DeltaDiscoveryResponse) -> None:
        delivery = self._subscriber.receive(response)
        if delivery is None:
            _log.warning("ignoring a response of type %s, which was not asked for", response.type_url)
            return
        intake = take(self._subscriber, delivery)
        refused = trio.from_thread.run_sync(self._link.deliver, list(intake.changes))
        faults = [*intake.rejections, *refused]
        for one in faults:
            _log.warning("refusing %s", one)
        self._requests.put(self._subscriber.settle(delivery, [(one.name, one.reason) for one in faults]))
        trio.from_thread.run_sync(self._link.settled)

    def _outgoing(self) -> Iterator[DeltaDiscoveryRequest]:
        while (request := self._requests.get()) is not None:
            yield request
