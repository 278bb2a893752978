"""Which part of the node's snapshot one worker gets: what it needs to decide, and nothing of another pod's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mesh.address import IP
from mesh.policy import Policy
from mesh.snapshot import Change, Drop, Put, Resource, key_of
from mesh.workload import GatewayAddress, Service, Workload
from ztunnel.supervisor.sight import Sight

Share = Mapping[tuple[type[Resource], str], Resource]
"""Resources by type and key."""

NOTHING: Final[Share] = {}


def share(sight: Sight, own: Workload | None, network: str, destinations: Iterable[IP]) -> Share:
    """What the worker of the pod `own` needs to admit its callers and to call these destinations.

    For itself: its workload, its services and the policies in force for it. For a destination: the service and its
    endpoints, or the workload, or instead the waypoint that stands before it, with its endpoints.
    """
    found: dict[tuple[type[Resource], str], Resource] = {}
    for resource in _needs(sight, own, network, destinations):
        found[type(resource), key_of(resource)] = resource
    return found


def difference(before: Share, after: Share) -> tuple[Change, ...]:
    """What to change to get from one share to the other."""
    drops = [Drop(kind, key) for kind, key in before if (kind, key) not in after]
    puts = [Put(resource) for place, resource in after.items() if before.get(place) != resource]
    return (*drops, *puts)


def _needs(
    sight: Sight, own: Workload | None, network: str, destinations: Iterable[IP]
) -> Iterator[Service | Workload | Policy]:
    if own is not None:
        yield own
        yield from sight.policies_for(own)
        for membership in own.services:
            if (service := sight.service(membership.service)) is not None:
                yield service
    for ip in destinations:
        yield from _at(sight, own, network, ip)


def _at(sight: Sight, own: Workload | None, network: str, ip: IP) -> Iterator[Service | Workload]:
    service = sight.service_at(network, ip)
    if service is not None:
        yield service
        yield from _gateway(sight, service.waypoint)
        if service.waypoint is None or _stands_before(sight, service.waypoint, own):
            yield from sight.endpoints(service.key)
    workload = sight.workload_at(network, ip)
    if workload is not None:
        yield workload
        yield from _gateway(sight, workload.waypoint)


def _gateway(sight: Sight, at: GatewayAddress | None) -> Iterator[Service | Workload]:
    gateway = sight.gateway(at) if at is not None else None
    if gateway is not None:
        yield gateway
    if isinstance(gateway, Service):
        yield from sight.endpoints(gateway.key)


def _stands_before(sight: Sight, at: GatewayAddress, own: Workload | None) -> bool:
    """Whether the worker's pod is behind that gateway itself, and so calls the endpoints directly."""
    gateway = sight.gateway(at)
    return own is not None and isinstance(gateway, Service) and own.member_of(gateway.key) is not None
