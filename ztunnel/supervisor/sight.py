"""Look-ups in a snapshot that remember what they were about, so that changes of anything else need not be looked at.

A topic is what a look-up may depend on and a change may touch: a resource by type and key, a network address, the
endpoints of a service, or the policies of a whole namespace ("" for the mesh's). Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Final

from mesh.address import IP, NetworkAddress
from mesh.policy import Policy, Scope
from mesh.snapshot import Change, Put, Resource, Snapshot, key_of
from mesh.workload import GatewayAddress, NamespacedHostname, Service, Workload

Topic = Hashable
Topics = frozenset[Topic]

_ENDPOINTS: Final = "endpoints"
_WIDE: Final = "policies of the whole"


class Sight:
    """Looks things up for a workload, whose concern is itself, and whatever was looked up, found or not.

    `own` is the uid that it has, or would have if the mesh knew it.
    """

    def __init__(self, snapshot: Snapshot, own: str) -> None:
        self._snapshot = snapshot
        self.concerns: set[Topic] = {(Workload, own)}

    def service(self, key: str) -> Service | None:
        """The service with this key."""
        self.concerns.add((Service, key))
        return self._snapshot.services.get(key)

    def workload_at(self, network: str, ip: IP) -> Workload | None:
        """As the snapshot's."""
        self.concerns.add(NetworkAddress(network, ip))
        return self._snapshot.workload_at(network, ip)

    def service_at(self, network: str, ip: IP) -> Service | None:
        """As the snapshot's."""
        self.concerns.add(NetworkAddress(network, ip))
        return self._snapshot.service_at(network, ip)

    def endpoints(self, service: str) -> tuple[Workload, ...]:
        """As the snapshot's."""
        self.concerns.add((_ENDPOINTS, service))
        return self._snapshot.endpoints(service)

    def policies_for(self, workload: Workload) -> tuple[Policy, ...]:
        """As the snapshot's."""
        self.concerns.update(((_WIDE, ""), (_WIDE, workload.namespace)))
        self.concerns.update((Policy, key) for key in workload.policies)
        return self._snapshot.policies_for(workload)

    def gateway(self, at: GatewayAddress) -> Service | Workload | None:
        """As the snapshot's."""
        where = at.destination
        self.concerns.add((Service, where.key) if isinstance(where, NamespacedHostname) else where)
        return self._snapshot.gateway(at)


def touched(before: Snapshot, changes: Iterable[Change]) -> Topics:
    """All topics that these changes touch: of what there was under each key, and of what takes its place."""
    found: set[Topic] = set()
    for change in changes:
        if isinstance(change, Put):
            kind, key = type(change.resource), key_of(change.resource)
            found.update(_topics(change.resource))
        else:
            kind, key = change.kind, change.key
        former: Resource | None = before.get(kind, key)  # type: ignore[type-var] # one of them, whichever it is
        if former is not None:
            found.update(_topics(former))
    return frozenset(found)


def _topics(resource: Resource) -> Iterator[Topic]:
    yield type(resource), key_of(resource)
    match resource:
        case Workload():
            yield from (NetworkAddress(resource.network, ip) for ip in resource.addresses)
            yield from ((_ENDPOINTS, membership.service) for membership in resource.services)
        case Service():
            yield from resource.addresses
        case Policy(scope=Scope.GLOBAL):
            yield _WIDE, ""
        case Policy(scope=Scope.NAMESPACE):
            yield _WIDE, resource.namespace
