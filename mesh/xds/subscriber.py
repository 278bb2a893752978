"""The client's end of delta xDS (the xDS protocol, "Incremental xDS"), without any I/O.

One subscriber outlives its streams: `opening` begins each of them by telling the server what is held already, so that
a reconnection brings only what changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mesh.xds.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource, Status


@dataclass(slots=True)
class _Subscription:
    """One type: the names asked for (None: everything) and the version of each resource that is held."""

    wanted: set[str] | None
    versions: dict[str, str] = field(default_factory=dict)
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A response to look at. Removals come first: what is removed and sent in one response is there afterwards."""

    type_url: str
    nonce: str
    removed: tuple[str, ...]
    resources: tuple[Resource, ...]


class Subscriber:
    """What one client has asked for and been given, over all its streams.

    `types` are subscribed to as a whole, those of them in `on_demand` by name only (see `want`).
    """

    def __init__(self, node: Node, types: Sequence[str], on_demand: Iterable[str] = ()) -> None:
        self._node = node
        by_name = frozenset(on_demand)
        self._types = {url: _Subscription(set() if url in by_name else None) for url in types}

    @property
    def synced(self) -> bool:
        """Whether every type has been answered once: from then on, what is missing does not exist."""
        return all(one.answered for one in self._types.values())

    def holds(self, type_url: str, name: str) -> bool:
        """Whether the resource was taken over and not removed since; False for a type that was not asked for."""
        return type_url in self._types and name in self._types[type_url].versions

    def opening(self) -> list[DeltaDiscoveryRequest]:
        """The first requests of a new stream, one for each type."""
        requests = []
        for url, one in self._types.items():
            request = DeltaDiscoveryRequest(node=self._node, type_url=url, initial_resource_versions=one.versions)
            if one.wanted is not None:
                # An empty first list would mean everything; "*" given and taken back means nothing but what follows.
                request.resource_names_subscribe.extend(["*", *sorted(one.wanted)])
                request.resource_names_unsubscribe.append("*")
            requests.append(request)
        return requests

    def want(self, type_url: str, name: str) -> DeltaDiscoveryRequest | None:
        """Ask for one more resource, by name or alias; None if it is subscribed to already."""
        wanted = self._types[type_url].wanted
        if wanted is None or name in wanted:
            return None
        wanted.add(name)
        return DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=[name])

    def forget(self, type_url: str, name: str) -> DeltaDiscoveryRequest | None:
        """Ask for one resource less; None if it was not asked for.

        A resource of that very name is no longer held; others that came with it the server removes.
        """
        one = self._types[type_url]
        if one.wanted is None or name not in one.wanted:
            return None
        one.wanted.discard(name)
        one.versions.pop(name, None)
        return DeltaDiscoveryRequest(type_url=type_url, resource_names_unsubscribe=[name])

    def receive(self, response: DeltaDiscoveryResponse) -> Delivery | None:
        """What a response brings; None if it is of a type that was never asked for. `settle` must follow."""
        if response.type_url not in self._types:
            return None
        return Delivery(response.type_url, response.nonce, tuple(response.removed_resources), tuple(response.resources))

    def settle(self, delivery: Delivery, faults: Iterable[tuple[str, str]] = ()) -> DeltaDiscoveryRequest:
        """Record the delivery as taken over, all but the faulty resources (name, reason), and answer it.

        With faults the answer is a NACK. A faulty resource keeps the version that is held, so that the server offers
        it again after the next reconnection.
        """
        one = self._types[delivery.type_url]
        bad = dict(faults)
        for name in delivery.removed:
            one.versions.pop(name, None)
        for resource in delivery.resources:
            if resource.name not in bad:
                one.versions[resource.name] = resource.version
        one.answered = True
        request = DeltaDiscoveryRequest(type_url=delivery.type_url, response_nonce=delivery.nonce)
        if bad:
            request.error_detail.CopyFrom(Status(message="; ".join(f"{name}: {why}" for name, why in bad.items())))
        return request
