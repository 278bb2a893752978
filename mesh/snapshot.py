"""The whole configuration at one moment, indexed for the questions that proxies ask.

A snapshot is never changed: `apply` makes the next one. Readers that began with one finish with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from mesh.address import IP, NetworkAddress
from mesh.authentication import RequestAuthentication
from mesh.index import Index
from mesh.policy import Policy, Scope
from mesh.route import Route
from mesh.traffic import TrafficPolicy
from mesh.workload import GatewayAddress, NamespacedHostname, Service, TunnelProtocol, Workload

Resource = Workload | Service | Policy | Route | TrafficPolicy | RequestAuthentication

_R = TypeVar("_R", Workload, Service, Policy, Route, TrafficPolicy, RequestAuthentication)


@dataclass(frozen=True, slots=True)
class Put:
    """A resource that is new or changed."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class Drop:
    """A resource that is gone: its type and its key (a workload's uid, else `key`)."""

    kind: type[Resource]
    key: str


Change = Put | Drop


def key_of(resource: Resource) -> str:
    """The name under which a resource stands in a snapshot."""
    return resource.uid if isinstance(resource, Workload) else resource.key


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Workloads by uid, the rest by key. Look-ups by address know the network as well."""

    workloads: Mapping[str, Workload] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    traffic: Mapping[str, TrafficPolicy] = field(default_factory=dict)
    """By the key of the service that each is for."""
    authentications: Mapping[str, RequestAuthentication] = field(default_factory=dict)
    _indices: Indices | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the indices, unless this follows from another snapshot, whose own were carried on."""
        if self._indices is None:
            tables = {kind: self._table(kind).values() for kind in _TABLES}
            all_new = {kind: [(None, one) for one in table] for kind, table in tables.items()}
            object.__setattr__(self, "_indices", _NO_INDICES.after(all_new))

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Snapshot:
        """A snapshot of exactly these resources."""
        return cls().apply(Put(one) for one in resources)

    def apply(self, changes: Iterable[Change]) -> Snapshot:
        """The snapshot after these changes, in order. Dropping what is not there is no fault."""
        tables: dict[type, dict[str, Any]] = {}
        replaced: dict[type, list[tuple[Any, Any]]] = {}
        for change in changes:
            kind, key = _place(change)
            if kind not in tables:
                tables[kind], replaced[kind] = dict(self._table(kind)), []
            table, new = tables[kind], change.resource if isinstance(change, Put) else None
            replaced[kind].append((table.get(key), new))
            if new is not None:
                table[key] = new
            else:
                table.pop(key, None)
        if not tables:
            return self
        views = {kind: tables[kind] if kind in tables else self._table(kind) for kind in _TABLES}
        indices = self._found.after(replaced)
        return Snapshot(**{_TABLES[kind]: view for kind, view in views.items()}, _indices=indices)

    def resources(self) -> Iterator[Resource]:
        """Everything in it, kind by kind, each in the order of their keys."""
        for kind in _TABLES:
            yield from (resource for _, resource in sorted(self._table(kind).items()))

    def get(self, kind: type[_R], key: str) -> _R | None:
        """The resource of this kind under this key."""
        return self._table(kind).get(key)

    def workload_at(self, network: str, ip: IP) -> Workload | None:
        """The workload that owns this address; where several claim it, one reached by HBONE is preferred."""
        claims = self._found.by_address.at(NetworkAddress(network, ip))
        return min(claims, key=lambda one: (one.tunnel is not TunnelProtocol.HBONE, one.uid), default=None)

    def service_at(self, network: str, ip: IP) -> Service | None:
        """The service with this virtual address; where several claim it, the cluster's own is preferred."""
        claims = self._found.by_vip.at(NetworkAddress(network, ip))
        return min(claims, key=lambda one: (not one.canonical, one.key), default=None)

    def service_named(self, hostname: str, namespace: str = "") -> Service | None:
        """The service of this host name: `namespace`'s if it has one, else the cluster's own, else the first."""
        claims = self._found.by_hostname.at(hostname)
        return min(claims, key=lambda one: (one.namespace != namespace, not one.canonical, one.key), default=None)

    def endpoints(self, service: str) -> tuple[Workload, ...]:
        """All workloads that are endpoints of the service with this key, healthy or not."""
        return self._found.endpoints.at(service)

    def routes_of(self, service: str) -> tuple[Route, ...]:
        """All routes attached to the service with this key."""
        return self._found.routes_of.at(service)

    def policies_for(self, workload: Workload) -> tuple[Policy, ...]:
        """What ztunnel enforces for a workload: mesh wide, namespace wide, and those that it names.

        A name without a policy behind it is passed over, as the protocol demands.
        """
        wide = (*self._found.wide.at(""), *self._found.wide.at(workload.namespace))
        keys = (*(one.key for one in wide), *workload.policies)
        return tuple(self.policies[key] for key in dict.fromkeys(keys) if key in self.policies)

    def gateway(self, at: GatewayAddress) -> Service | Workload | None:
        """The waypoint or gateway that an address of one leads to."""
        if isinstance(at.destination, NamespacedHostname):
            return self.services.get(at.destination.key)
        where = at.destination
        return self.service_at(where.network, where.ip) or self.workload_at(where.network, where.ip)

    @property
    def _found(self) -> Indices:
        if self._indices is None:
            raise AssertionError("indices are built with the snapshot")
        return self._indices

    def _table(self, kind: type) -> Mapping[str, Any]:
        return getattr(self, _TABLES[kind])  # type: ignore[no-any-return]


_TABLES: Final = {
    Workload: "workloads",
    Service: "services",
    Policy: "policies",
    Route: "routes",
    TrafficPolicy: "traffic",
    RequestAuthentication: "authentications",
}


_Replaced = list[tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Indices:
    """How the resources of a snapshot are found otherwise than by key."""

    by_address: Index[NetworkAddress, Workload]
    endpoints: Index[str, Workload]
    by_vip: Index[NetworkAddress, Service]
    by_hostname: Index[str, Service]
    wide: Index[str, Policy]
    routes_of: Index[str, Route]

    def after(self, replaced: Mapping[type, _Replaced]) -> Indices:
        """The indices after these resources, by their type, took the place of others; None is nothing."""
        workloads, services = replaced.get(Workload, []), replaced.get(Service, [])
        return Indices(
            self.by_address.after(workloads),
            self.endpoints.after(workloads),
            self.by_vip.after(services),
            self.by_hostname.after(services),
            self.wide.after(replaced.get(Policy, [])),
            self.routes_of.after(replaced.get(Route, [])),
        )


def _place(change: Change) -> tuple[type, str]:
    """The table that is changed, and where in it."""
    return (type(change.resource), key_of(change.resource)) if isinstance(change, Put) else (change.kind, change.key)


def _reached_at(workload: Workload) -> Iterator[NetworkAddress]:
    """Where a workload is found by address; those on the host's network share it and are found by uid alone."""
    if not workload.host_network:
        yield from (NetworkAddress(workload.network, ip) for ip in workload.addresses)


def _width(policy: Policy) -> tuple[str, ...]:
    """The namespace that a policy covers as a whole, "" for the mesh; none for one that must be named."""
    match policy.scope:
        case Scope.GLOBAL:
            return ("",)
        case Scope.NAMESPACE:
            return (policy.namespace,)
        case _:
            return ()


_NO_INDICES: Final = Indices(
    Index(key_of, _reached_at),
    Index(key_of, lambda one: (in_.service for in_ in one.services)),
    Index(key_of, lambda one: one.addresses),
    Index(key_of, lambda one: (one.hostname,)),
    Index(key_of, _width),
    Index(key_of, lambda one: (one.service,)),
)
