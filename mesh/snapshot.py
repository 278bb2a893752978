"""The whole configuration at one moment, indexed for the questions that proxies ask.

A snapshot is never changed: `apply` makes the next one. Readers that began with one finish with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from mesh.address import IP, NetworkAddress
from mesh.policy import Policy, Scope
from mesh.route import Route
from mesh.workload import GatewayAddress, NamespacedHostname, Service, TunnelProtocol, Workload

Resource = Workload | Service | Policy | Route

_R = TypeVar("_R", Workload, Service, Policy, Route)
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Put:
    """A resource that is new or changed."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class Drop:
    """A resource that is gone: its type and its key (a workload's uid, else `key`)."""

    kind: type[Workload | Service | Policy | Route]
    key: str


Change = Put | Drop


def key_of(resource: Resource) -> str:
    """The name under which a resource stands in a snapshot."""
    return resource.uid if isinstance(resource, Workload) else resource.key


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Workloads by uid; services, policies and routes by key. Look-ups by address know the network as well."""

    workloads: Mapping[str, Workload] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    _by_address: Mapping[NetworkAddress, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _by_vip: Mapping[NetworkAddress, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _by_hostname: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _endpoints: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _wide: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _routes_of: Mapping[str, tuple[Route, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the indices; conflicts are settled here so that every look-up is one access."""
        workloads, services = self.workloads.values(), self.services.values()
        put = object.__setattr__
        put(self, "_by_address", _grouped((at, one.uid) for one in workloads for at in _reached_at(one)))
        put(self, "_by_vip", _grouped((at, one.key) for one in services for at in one.addresses))
        put(self, "_by_hostname", _grouped((one.hostname, one.key) for one in services))
        put(self, "_endpoints", _grouped((in_.service, one.uid) for one in workloads for in_ in one.services))
        widths = ((_width(one), one.key) for one in self.policies.values())
        put(self, "_wide", _grouped((width, key) for width, key in widths if width is not None))
        put(self, "_routes_of", _grouped((one.service, one) for one in self.routes.values()))

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Snapshot:
        """A snapshot of exactly these resources."""
        return cls().apply(Put(one) for one in resources)

    def apply(self, changes: Iterable[Change]) -> Snapshot:
        """The snapshot after these changes, in order. Dropping what is not there is no fault."""
        tables: dict[type, dict[str, Any]] = {}
        for change in changes:
            kind = type(change.resource) if isinstance(change, Put) else change.kind
            table = tables.setdefault(kind, dict(self._table(kind)))
            if isinstance(change, Put):
                table[key_of(change.resource)] = change.resource
            else:
                table.pop(change.key, None)
        if not tables:
            return self
        views = {kind: tables[kind] if kind in tables else self._table(kind) for kind in _TABLES}
        return Snapshot(views[Workload], views[Service], views[Policy], views[Route])

    def resources(self) -> Iterator[Resource]:
        """Everything in it: workloads, services, policies, routes, each in the order of their keys."""
        for kind in _TABLES:
            yield from (resource for _, resource in sorted(self._table(kind).items()))

    def get(self, kind: type[_R], key: str) -> _R | None:
        """The resource of this kind under this key."""
        return self._table(kind).get(key)

    def workload_at(self, network: str, ip: IP) -> Workload | None:
        """The workload that owns this address; where several claim it, one reached by HBONE is preferred."""
        claims = [self.workloads[uid] for uid in self._by_address.get(NetworkAddress(network, ip), ())]
        return min(claims, key=lambda one: (one.tunnel is not TunnelProtocol.HBONE, one.uid), default=None)

    def service_at(self, network: str, ip: IP) -> Service | None:
        """The service with this virtual address; where several claim it, the cluster's own is preferred."""
        claims = [self.services[key] for key in self._by_vip.get(NetworkAddress(network, ip), ())]
        return min(claims, key=lambda one: (not one.canonical, one.key), default=None)

    def service_named(self, hostname: str, namespace: str = "") -> Service | None:
        """The service of this host name: `namespace`'s if it has one, else the cluster's own, else the first."""
        claims = [self.services[key] for key in self._by_hostname.get(hostname, ())]
        return min(claims, key=lambda one: (one.namespace != namespace, not one.canonical, one.key), default=None)

    def endpoints(self, service: str) -> tuple[Workload, ...]:
        """All workloads that are endpoints of the service with this key, healthy or not."""
        return tuple(self.workloads[uid] for uid in self._endpoints.get(service, ()))

    def routes_of(self, service: str) -> tuple[Route, ...]:
        """All routes attached to the service with this key."""
        return self._routes_of.get(service, ())

    def policies_for(self, workload: Workload) -> tuple[Policy, ...]:
        """What ztunnel enforces for a workload: mesh wide, namespace wide, and those that it names.

        A name without a policy behind it is passed over, as the protocol demands.
        """
        keys = (*self._wide.get("", ()), *self._wide.get(workload.namespace, ()), *workload.policies)
        return tuple(self.policies[key] for key in dict.fromkeys(keys) if key in self.policies)

    def gateway(self, at: GatewayAddress) -> Service | Workload | None:
        """The waypoint or gateway that an address of one leads to."""
        if isinstance(at.destination, NamespacedHostname):
            return self.services.get(at.destination.key)
        where = at.destination
        return self.service_at(where.network, where.ip) or self.workload_at(where.network, where.ip)

    def _table(self, kind: type) -> Mapping[str, Any]:
        return getattr(self, _TABLES[kind])  # type: ignore[no-any-return]


_TABLES: Final = {Workload: "workloads", Service: "services", Policy: "policies", Route: "routes"}


def _reached_at(workload: Workload) -> Iterator[NetworkAddress]:
    """Where a workload is found by address; those on the host's network share it and are found by uid alone."""
    if not workload.host_network:
        yield from (NetworkAddress(workload.network, ip) for ip in workload.addresses)


def _width(policy: Policy) -> str | None:
    """The namespace that a policy covers as a whole, "" for the mesh, None for one that must be named."""
    match policy.scope:
        case Scope.GLOBAL:
            return ""
        case Scope.NAMESPACE:
            return policy.namespace
        case _:
            return None


def _grouped(pairs: Iterable[tuple[_K, _V]]) -> Mapping[_K, tuple[_V, ...]]:
    groups: defaultdict[_K, list[_V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: tuple(values) for key, values in groups.items()}
