"""The server's end of one delta xDS stream (the xDS protocol, "Incremental xDS"), without any I/O.

A publisher remembers which version of which resource its client holds. It answers requests and, when the catalog
changed, says what this client has to be told. Changes are handed in as names: whoever was slow and missed several
catalogs gets the newest state once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.any_pb2 import Any

from mesh.xds import resource as wire
from mesh.xds.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource

_EVERYTHING: Final = "*"
_EMPTY: Final = wire.Shelf()


@dataclass(slots=True)
class _Subscription:
    """One type as this client wants it: as a whole and by name, and what it holds: version by name."""

    everything: bool
    names: set[str]
    held: dict[str, str]
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request leads to: a response, if one is due, and what the client refused, if it did."""

    response: DeltaDiscoveryResponse | None = None
    refused: str | None = None


@dataclass(slots=True)
class Publisher:
    """One client's stream. `reader` is the waypoint (`namespace/name`) that it serves, None for a node's proxy."""

    reader: str | None = None
    _types: dict[str, _Subscription] = field(default_factory=dict)
    _sent: int = 0

    def receive(self, request: DeltaDiscoveryRequest, catalog: wire.Catalog) -> Answer:
        """Take in a request: a subscription, an ACK or a NACK, or several of them at once.

        A nonce that is not the newest is stale: its verdict is ignored, its changes of subscription are not.
        """
        shelf = catalog.get(request.type_url, _EMPTY)
        one = self._types.get(request.type_url)
        if one is None:
            one = self._types[request.type_url] = _begin(request)
            return Answer(self._opening(request.type_url, one, shelf, request.resource_names_subscribe))
        refused = None
        if request.HasField("error_detail") and request.response_nonce == one.nonce:
            refused = request.error_detail.message
        asked, dropped = set(request.resource_names_subscribe), set(request.resource_names_unsubscribe)
        if not asked and not dropped:
            return Answer(None, refused)
        self._adjust(one, asked, dropped)
        missing = {name for name in asked - {_EVERYTHING} if name in one.names and not self._wanted(shelf, name)}
        return Answer(self._compare(request.type_url, one, shelf, None, missing), refused)

    def publish(self, type_url: str, names: Collection[str], catalog: wire.Catalog) -> DeltaDiscoveryResponse | None:
        """What this client has to be told after the resources of these names changed; None if nothing."""
        one = self._types.get(type_url)
        if one is None:
            return None
        return self._compare(type_url, one, catalog.get(type_url, _EMPTY), names if one.everything else None, set())

    def _opening(
        self, type_url: str, one: _Subscription, shelf: wire.Shelf, asked: Iterable[str]
    ) -> DeltaDiscoveryResponse:
        """The first answer is always given, be it empty: a client waits for it before it calls itself ready."""
        names = one.names.intersection(asked)
        missing = {name for name in names if not self._wanted(shelf, name)}
        return self._compare(type_url, one, shelf, None, missing) or self._response(type_url, one, [], [])

    def _adjust(self, one: _Subscription, asked: set[str], dropped: set[str]) -> None:
        """Change a subscription. What the client drops it forgets, and what it asks for again is sent again."""
        one.everything = (one.everything or _EVERYTHING in asked) and _EVERYTHING not in dropped
        one.names = (one.names | asked) - dropped - {_EVERYTHING}
        for name in asked | dropped:
            one.held.pop(name, None)

    def _compare(
        self, type_url: str, one: _Subscription, shelf: wire.Shelf, names: Collection[str] | None, missing: set[str]
    ) -> DeltaDiscoveryResponse | None:
        """Compare what is due with what is held, for these names or (None) for all, and make the difference good."""
        due = self._due(one, shelf, names)
        looked_at = set(names) if names is not None else one.held.keys() | due.keys()
        fresh = [due[name] for name in sorted(looked_at) if name in due and one.held.get(name) != due[name].version]
        gone = sorted({name for name in looked_at if name in one.held and name not in due} | missing)
        return self._response(type_url, one, fresh, gone) if fresh or gone else None

    def _due(self, one: _Subscription, shelf: wire.Shelf, names: Collection[str] | None) -> dict[str, wire.Resource]:
        """What this client should hold of these names, or (None) of all."""
        if one.everything:
            wanted: Iterable[wire.Resource] = (
                shelf.resources.values()
                if names is None
                else [shelf.resources[name] for name in names if name in shelf.resources]
            )
            return {each.name: each for each in wanted if each.seen_by(self.reader)}
        return {each.name: each for name in one.names for each in self._wanted(shelf, name)}

    def _wanted(self, shelf: wire.Shelf, name: str) -> list[wire.Resource]:
        return [each for each in shelf.wanted(name) if each.seen_by(self.reader)]

    def _response(
        self, type_url: str, one: _Subscription, fresh: list[wire.Resource], gone: list[str]
    ) -> DeltaDiscoveryResponse:
        for name in gone:
            one.held.pop(name, None)
        for each in fresh:
            one.held[each.name] = each.version
        self._sent += 1
        one.nonce = str(self._sent)
        return DeltaDiscoveryResponse(
            type_url=type_url,
            nonce=one.nonce,
            removed_resources=gone,
            resources=[_message(type_url, each, with_aliases=not one.everything) for each in fresh],
        )


def _begin(request: DeltaDiscoveryRequest) -> _Subscription:
    """A new stream's first request of a type. No names at all, or "*", stand for everything.

    A client that subscribes by name and reconnects need not repeat what it holds: that stays subscribed.
    """
    asked, dropped = set(request.resource_names_subscribe), set(request.resource_names_unsubscribe)
    held = dict(request.initial_resource_versions)
    everything = (not asked or _EVERYTHING in asked) and _EVERYTHING not in dropped
    names = asked - dropped - {_EVERYTHING}
    return _Subscription(everything, names if everything else names | held.keys(), held)


def _message(type_url: str, each: wire.Resource, *, with_aliases: bool) -> Resource:
    return Resource(
        name=each.name,
        version=each.version,
        aliases=each.aliases if with_aliases else (),
        resource=Any(type_url=type_url, value=each.body),
    )
