"""Where a request can go: an endpoint, and those of a service on one port. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh.address import Address
from mesh.balance import Tiers
from mesh.record import Party
from mesh.ring import Ring
from mesh.traffic import LoadBalancing, Spread, Terms, TrafficPolicy
from mesh.workload import AppProtocol, Service, TunnelProtocol, Workload
from waypoint.outliers import Watch

HBONE_PORT: Final = 15008


class Endpoint:
    """The pod that is called: where, by which way, and who it has to be. Equal when these are."""

    __slots__ = (
        "accepts",
        "address",
        "bounds",
        "key",
        "party",
        "port",
        "protocol",
        "service",
        "tunnel",
        "watch",
        "workload",
    )

    def __init__(
        self,
        workload: Workload,
        address: Address,
        protocol: AppProtocol,
        service: Service | None = None,
        port: int = 0,
        *,
        watch: Watch | None = None,
        bounds: TrafficPolicy | None = None,
    ) -> None:
        self.workload = workload
        self.address = address
        self.protocol = protocol
        self.service = service
        self.port = port
        """The service's port that was called."""
        self.watch = watch
        """What makes it an outlier among the service's endpoints, if anything does."""
        self.bounds = bounds
        """The policy that bounds the connections to the service's endpoints and its retries, if one does."""
        hbone = workload.tunnel is TunnelProtocol.HBONE
        self.tunnel = Address(address.ip, HBONE_PORT) if hbone else None
        """Where its HBONE server listens; None where it is reached by plain TCP."""
        self.accepts = frozenset({workload.identity})
        """Who may answer there."""
        self.key = f"{address} {self.tunnel} {workload.identity}"
        """The same for all requests that may share a connection."""
        if bounds is not None:
            self.key += f" {bounds.service}"
        self.party = Party(address, workload, workload.identity)

    @property
    def key_of_service(self) -> str:
        """What is counted together for the service's sake; a pod that was called itself counts alone."""
        return self.service.key if self.service is not None else self.workload.uid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Endpoint({self.key})"

    def _facts(self) -> tuple[object, ...]:
        return self.workload, self.address, self.protocol, self.service


@dataclass(frozen=True, slots=True)
class Ends:
    """A service's endpoints on one port: those that can be called, and how many there are in all."""

    name: tuple[str, int]
    """The service's key and the port."""
    tiers: Tiers
    targets: Mapping[str, int]
    members: int
    protocol: AppProtocol
    policy: TrafficPolicy | None = None
    """The service's, where it says anything of them."""
    made: dict[str, Endpoint] = field(default_factory=dict)
    rings: dict[int, Ring] = field(default_factory=dict)
    """By the tier's number, as far as they were needed."""

    @property
    def spread(self) -> Spread:
        """By what one of them is chosen."""
        balancing = self.balancing
        return balancing.spread if balancing is not None else Spread.LEAST_LATENCY

    @property
    def terms(self) -> Terms | None:
        """What the service's policy says of them; None if nothing."""
        return self.policy.terms if self.policy is not None else None

    @property
    def bounds(self) -> TrafficPolicy | None:
        """The policy, where it bounds the connections to them or the service's retries."""
        terms = self.terms
        return self.policy if terms is not None and terms.bounds_connections else None

    @property
    def balancing(self) -> LoadBalancing | None:
        """How requests are spread over them."""
        return self.terms.balancing if self.terms is not None else None

    @property
    def watch(self) -> Watch | None:
        """What makes one of them an outlier."""
        rule = self.terms.outliers if self.terms is not None else None
        return Watch(self.name[0], rule, self.usable) if rule is not None else None

    @property
    def usable(self) -> int:
        """How many can be called."""
        return sum(len(tier.members) for tier in self.tiers)
