"""What is served over xDS: named, versioned resources, and the catalog of all of one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

ADDRESS: Final = "type.googleapis.com/istio.workload.Address"
AUTHORIZATION: Final = "type.googleapis.com/istio.security.Authorization"
WAYPOINT_ROUTE: Final = "type.googleapis.com/ambit.waypoint.Route"
WAYPOINT_POLICY: Final = "type.googleapis.com/ambit.waypoint.Policy"
WAYPOINT_AUTHENTICATION: Final = "type.googleapis.com/ambit.authentication.RequestAuthentication"
WAYPOINT_TRAFFIC: Final = "type.googleapis.com/ambit.waypoint.TrafficPolicy"

NODE_TYPES: Final = (AUTHORIZATION, ADDRESS)
"""What a node's proxy subscribes to. Policies come before whom they protect, here and below."""
WAYPOINT_TYPES: Final = (
    AUTHORIZATION, WAYPOINT_AUTHENTICATION, WAYPOINT_POLICY, ADDRESS, WAYPOINT_TRAFFIC, WAYPOINT_ROUTE
)  # fmt: skip
"""What a waypoint subscribes to; services come before the routes that lead to them."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as it goes on the wire."""

    name: str
    body: bytes
    """The serialised message, without its envelope."""
    version: str = ""
    """A hash of the body; equal bodies have equal versions, also after a restart of the server."""
    aliases: tuple[str, ...] = ()
    """Other names that a client may ask for it by: `network/ip`."""
    follows: tuple[str, ...] = ()
    """Names of resources whose subscribers need this one as well: an endpoint follows its services."""
    audience: frozenset[str] | None = None
    """The waypoints (`namespace/name`) that may see it; None is everybody."""

    @classmethod
    def of(
        cls,
        name: str,
        body: bytes,
        *,
        aliases: tuple[str, ...] = (),
        follows: tuple[str, ...] = (),
        audience: frozenset[str] | None = None,
    ) -> Resource:
        """A resource with the version that its body has."""
        return cls(name, body, blake2b(body, digest_size=8).hexdigest(), aliases, follows, audience)

    def seen_by(self, reader: str | None) -> bool:
        """Whether `reader`, a waypoint's `namespace/name` or None for a node's proxy, may have it."""
        return self.audience is None or reader in self.audience


@dataclass(frozen=True)
class Shelf:
    """All resources of one type, by name, with the index that subscriptions by name need."""

    resources: Mapping[str, Resource] = field(default_factory=lambda: MappingProxyType({}))

    def wanted(self, name: str) -> tuple[Resource, ...]:
        """What a subscription to `name` brings: whatever has that name or alias, then whatever follows it."""
        found = [self.resources[one] for one in self._named.get(name, ())]
        if name in self.resources and self.resources[name] not in found:
            found.insert(0, self.resources[name])
        followers = (self._followers.get(one.name, ()) for one in tuple(found))
        names = {one.name for one in found}
        found += [self.resources[one] for group in followers for one in group if one not in names]
        return tuple(found)

    @cached_property
    def _named(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for one in self.resources.values():
            for alias in one.aliases:
                index.setdefault(alias, []).append(one.name)
        return index

    @cached_property
    def _followers(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for one in self.resources.values():
            for leader in one.follows:
                index.setdefault(leader, []).append(one.name)
        return index


Catalog = Mapping[str, Shelf]
"""By type URL."""


def shelf(resources: Iterable[Resource]) -> Shelf:
    """A shelf of these."""
    return Shelf({one.name: one for one in resources})


def changed(old: Shelf, new: Shelf) -> frozenset[str]:
    """The names of resources that came, went or differ, be it only in who may see them."""
    gone = old.resources.keys() - new.resources.keys()
    fresh = (name for name, one in new.resources.items() if (was := old.resources.get(name)) is not one and was != one)
    return frozenset(gone).union(fresh)
