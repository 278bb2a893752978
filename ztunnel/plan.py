"""Where a captured connection goes: straight on, through a tunnel to its endpoint, or through a waypoint. Pure.

The decision is made per connection, before any byte moves, and fails closed: who names a waypoint is reached through
it or not at all. `ways` is the part that depends on the configuration alone, and can be kept as long as that is the
same; `Ways.pick` is the part that belongs to one connection.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.address import IP, Address
from mesh.balance import Dice, Tiers, pick, tiers
from mesh.health import NOTHING_LEARNED, Health
from mesh.identity import Identity
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.workload import (
    Balancing,
    BalancingMode,
    GatewayAddress,
    NamespacedHostname,
    Service,
    TunnelProtocol,
    Workload,
    target_port,
)

HBONE_PORT: Final = 15008
PROXY_PORTS: Final = frozenset({15001, 15006, HBONE_PORT})
"""The worker's own listeners in every pod; nothing may be led to them, or it would call itself for ever."""


class Transport(Enum):
    """How bytes travel to where they go."""

    TCP = "tcp"
    HBONE = "hbone"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with one connection."""

    transport: Transport
    connect_to: Address
    """The peer that is dialled."""
    target: Address
    """What the bytes are for; in a tunnel it is the CONNECT's authority."""
    why: str
    accepts: frozenset[Identity] = frozenset()
    """Who the tunnel's far end may be."""
    workload: Workload | None = None
    """The pod behind `connect_to`: an endpoint, or a waypoint's."""
    service: Service | None = None
    """The service that was called."""
    waypoint: bool = False

    @property
    def authority(self) -> str:
        """The authority of the CONNECT."""
        return str(self.target)

    @property
    def endpoint(self) -> str:
        """The uid of the workload behind `connect_to`, empty where the mesh knows none."""
        return self.workload.uid if self.workload is not None else ""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An endpoint of which only a host name is known: where it is must be looked up before it can be called."""

    workload: Workload
    destination: Address
    port: int
    service: Service

    @property
    def endpoint(self) -> str:
        """The uid of the endpoint."""
        return self.workload.uid

    def at(self, found: Sequence[IP], dice: Dice) -> Plan | Refusal:
        """The plan, now that the host name's addresses are known: one of the caller's family if it can be.

        The service's own virtual addresses do not count: nobody is there.
        """
        own = {one.ip for one in self.service.addresses}
        usable = [ip for ip in found if ip not in own]
        alike = [ip for ip in usable if ip.version == self.destination.ip.version] or usable
        if not alike:
            detail = f"service {self.service.key}: no other address than its own is known of {self.workload.hostname}"
            return Refusal(Reason.NO_HEALTHY_ENDPOINT, detail)
        return _to_workload(self.workload, Address(alike[int(dice() * len(alike))], self.port), self.service)


@dataclass(frozen=True, slots=True)
class Ways:
    """Endpoints of which any will do: those of a service, or of a waypoint before what was called."""

    endpoints: Tiers
    destination: Address
    """Where the caller opened its connection to."""
    port: int
    """The port that is asked of the endpoints, before their own lists of ports translate it."""
    group: Service | None
    """The service whose endpoints they are; None for a waypoint that is a single workload."""
    service: Service | None
    """The service that was called."""
    why: str = ""
    """How a waypoint comes into it; empty if none does."""

    def pick(
        self, dice: Dice, health: Health = NOTHING_LEARNED, now: float = 0.0, tried: Collection[str] = ()
    ) -> Plan | Unresolved | Refusal:
        """Choose for one connection; `tried` are uids of endpoints that it failed to reach before."""
        chosen = pick(self.endpoints, dice, health, now, tried)
        if chosen is None:
            return Refusal(Reason.NO_HEALTHY_ENDPOINT, "no endpoint is left to try")
        version = self.destination.ip.version
        port = (self.port if self.group is None else target_port(self.group, chosen, self.port)) or self.port
        if not chosen.addresses and self.service is not None:
            return Unresolved(chosen, self.destination, port, self.service)
        ip = next((ip for ip in chosen.addresses if ip.version == version), chosen.addresses[0])
        address = Address(ip, port)
        return self._through(chosen, address) if self.why else _to_workload(chosen, address, self.service)

    def _through(self, waypoint: Workload, address: Address) -> Plan:
        return Plan(
            Transport.HBONE,
            address,
            self.destination,
            self.why,
            accepts=_accepted(waypoint, self.group),
            workload=waypoint,
            service=self.service,
            waypoint=True,
        )


def plan(snapshot: Snapshot, source: Workload, destination: Address, dice: Dice) -> Plan | Unresolved | Refusal:
    """Decide for a connection from the pod `source` that its application opened to `destination`."""
    found = ways(snapshot, source, destination)
    return found.pick(dice) if isinstance(found, Ways) else found


def ways(snapshot: Snapshot, source: Workload, destination: Address) -> Plan | Ways | Refusal:
    """What of the decision depends on the configuration alone; a Plan where there is nothing to choose."""
    if destination.port in PROXY_PORTS and (destination.ip.is_loopback or destination.ip in source.addresses):
        return Refusal(Reason.SELF_CALL, f"{destination} is the proxy's own listener")
    return _Question(snapshot, source, destination).answer()


@dataclass(frozen=True, slots=True)
class _Group:
    """Workloads of which one is to be chosen, and the port that is asked of them."""

    service: Service | None
    members: tuple[Workload, ...]
    port: int
    called: bool = False
    """Whether they are those of the service that was called, and not of a waypoint before it."""

    def port_of(self, member: Workload) -> int | None:
        return self.port if self.service is None else target_port(self.service, member, self.port)

    @property
    def balancing(self) -> Balancing:
        return Balancing() if self.service is None else self.service.balancing


@dataclass(frozen=True, slots=True)
class _Question:
    """One connection to be decided, with all that is known for it."""

    snapshot: Snapshot
    source: Workload
    destination: Address

    def answer(self) -> Plan | Ways | Refusal:
        service = self.snapshot.service_at(self.source.network, self.destination.ip)
        if service is None:
            return self.to_address()
        if service.waypoint is not None and not self.comes_from(service.waypoint):
            return self.through_waypoint(service.waypoint, f"service {service.key}", service)
        if service.balancing.mode is BalancingMode.PASSTHROUGH:
            return self.passed_through(service)
        return self.to_service(service)

    def to_address(self) -> Plan | Ways | Refusal:
        target = self.destination
        workload = self.snapshot.workload_at(self.source.network, target.ip)
        if workload is None:
            return Plan(Transport.TCP, target, target, f"the mesh knows nothing at {target.ip}")
        if workload.waypoint is not None and not self.comes_from(workload.waypoint):
            return self.through_waypoint(workload.waypoint, f"workload {workload.uid}", None)
        return _to_workload(workload, target, None)

    def passed_through(self, service: Service) -> Plan:
        target = self.destination
        workload = self.snapshot.workload_at(self.source.network, target.ip)
        if workload is not None:
            return _to_workload(workload, target, service)
        why = f"service {service.key} passes every address through"
        return Plan(Transport.TCP, target, target, why, service=service)

    def to_service(self, service: Service) -> Ways | Refusal:
        port = self.destination.port
        if service.port(port) is None:
            return Refusal(Reason.UNKNOWN_PORT, f"service {service.key} has no port {port}")
        found = self.candidates(_Group(service, self.snapshot.endpoints(service.key), port, called=True))
        if isinstance(found, Refusal):
            return Refusal(found.reason, f"service {service.key}: {found.detail}")
        return Ways(found, self.destination, port, service, service)

    def through_waypoint(self, at: GatewayAddress, callee: str, service: Service | None) -> Ways | Refusal:
        gateway = self.snapshot.gateway(at)
        if isinstance(gateway, Service):
            group = _Group(gateway, self.snapshot.endpoints(gateway.key), at.port)
        else:
            group = _Group(None, () if gateway is None else (gateway,), at.port)
        found = self.candidates(group)
        why = f"{callee} is reached through waypoint {_named(at)}"
        if isinstance(found, Refusal):
            missing = "the mesh knows no such thing" if gateway is None else found.detail
            return Refusal(Reason.NO_HEALTHY_WAYPOINT, f"{why}: {missing}")
        return Ways(found, self.destination, at.port, group.service, service, why)

    def candidates(self, group: _Group) -> Tiers | Refusal:
        """Those of the group that may be chosen."""
        local = [one for one in group.members if one.network == self.source.network]
        if group.members and not local:
            networks = ", ".join(sorted({one.network or "the one without a name" for one in group.members}))
            detail = (
                f"all its endpoints are on other networks ({networks}), and no way leads from {self.network} to them"
            )
            return Refusal(Reason.UNREACHABLE_NETWORK, detail)
        reached = [one for one in local if (one.addresses or (group.called and one.hostname)) and group.port_of(one)]
        if not reached:
            return Refusal(Reason.NO_HEALTHY_ENDPOINT, "it has no endpoint that can be reached on this port")
        found = tiers(reached, group.balancing, self.source)
        if not found:
            return Refusal(Reason.NO_HEALTHY_ENDPOINT, f"none of its {len(reached)} endpoints is ready and near enough")
        return found

    @property
    def network(self) -> str:
        return self.source.network or "the network without a name"

    def comes_from(self, at: GatewayAddress) -> bool:
        """Whether the caller is a pod of that gateway itself: what comes out of it must not go in again."""
        gateway = self.snapshot.gateway(at)
        if isinstance(gateway, Service):
            return self.source.member_of(gateway.key) is not None
        return gateway is not None and gateway.uid == self.source.uid


def _to_workload(workload: Workload, target: Address, service: Service | None) -> Plan:
    if workload.tunnel is not TunnelProtocol.HBONE:
        why = f"workload {workload.uid} takes no tunnel"
        return Plan(Transport.TCP, target, target, why, workload=workload, service=service)
    return Plan(
        Transport.HBONE,
        Address(target.ip, HBONE_PORT),
        target,
        f"workload {workload.uid} takes HBONE",
        accepts=_accepted(workload, service),
        workload=workload,
        service=service,
    )


def _accepted(workload: Workload, service: Service | None) -> frozenset[Identity]:
    """The pod's own identity and those its service names; a name that is no identity of ours is never met."""
    found = {workload.identity}
    for name in service.subject_alt_names if service is not None else ():
        with suppress(ValueError):
            found.add(Identity.parse(name))
    return frozenset(found)


def _named(at: GatewayAddress) -> str:
    return at.destination.key if isinstance(at.destination, NamespacedHostname) else str(at.destination)
