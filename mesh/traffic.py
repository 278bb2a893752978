"""How much of its callers' traffic a service takes, and how it is spread: TrafficPolicy, as waypoints keep to it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import Enum


class Share(Enum):
    """Whose requests a rate counts together."""

    CALLER = "Caller"
    """Those of one identity; each has the whole rate for itself."""
    SERVICE = "Service"
    """Those of all callers."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`requests` in every `per` seconds, of which up to `burst` may come at once."""

    requests: int
    per: float
    burst: int
    share: Share = Share.CALLER

    @property
    def interval(self) -> float:
        """Seconds from one request to the next at this very rate."""
        return self.per / self.requests


class Spread(Enum):
    """By what the endpoint of a request is chosen."""

    LEAST_LATENCY = "LeastLatency"
    """The better of two drawn by weight: the lower product of latency (peak EWMA) and requests in progress."""
    LEAST_REQUEST = "LeastRequest"
    """The one of two drawn by weight with fewer requests in progress."""
    ROUND_ROBIN = "RoundRobin"
    """Each in turn, as often as its weight says."""
    CONSISTENT_HASH = "ConsistentHash"
    """The same one for the same caller, as long as it is there."""


class HashSource(Enum):
    """What makes two requests those of the same caller."""

    HEADER = "Header"
    COOKIE = "Cookie"
    IDENTITY = "Identity"
    """The caller's identity, as its certificate says."""
    ADDRESS = "Address"
    """The caller's IP address."""


@dataclass(frozen=True, slots=True)
class HashOn:
    """What is hashed: `name` is the header's (in lower case) or the cookie's."""

    source: HashSource
    name: str = ""
    path: str = ""
    """For which paths a cookie is made where the caller has none."""
    ttl: float | None = None
    """Seconds that a made cookie lives; None: as long as the browser does."""


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """How requests are spread over the endpoints; `hash_on` is there for consistent hashing, and only then."""

    spread: Spread = Spread.LEAST_LATENCY
    hash_on: HashOn | None = None
    slow_start: float = 0.0
    """Seconds over which an endpoint that is new comes to its full share. Not with consistent hashing."""


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """When an endpoint is passed over for what it answers; None, and False, is never. Times are seconds.

    That no connection to it can be made, or that it breaks off or is too late, counts as a gateway error.
    """

    errors: int | None = None
    """After so many 5xx in a row, gateway errors among them."""
    gateway_errors: int | None = None
    """After so many 502, 503 or 504 in a row."""
    success_percent: int | None = None
    """When less than this share of its answers in one `interval` is no 5xx."""
    least_requests: int = 20
    """In one interval, or its share of good answers says nothing."""
    interval: float = 10.0
    retry_after: bool = False
    """When it answers 429 or 503 and says in Retry-After for how long."""
    ejection: float = 30.0
    """For how long at first; each time in succession as much longer."""
    most_percent: int = 10
    """Of the endpoints that may be passed over at once, but always one."""
    panic_percent: int = 0
    """When fewer endpoints than this are left, none is passed over."""


@dataclass(frozen=True, slots=True)
class Delay:
    """`percent` of the requests are held back for so many seconds before a backend is asked."""

    seconds: float
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Abort:
    """`percent` of the requests are answered with an error and no backend is asked. One of the statuses is there."""

    status: int | None = None
    """To callers that speak gRPC in gRPC's terms, unless `grpc_status` says what."""
    grpc_status: int | None = None
    """To callers that speak gRPC; without `status` others are spared."""
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What is done to requests so that it can be seen how callers bear it."""

    delay: Delay | None = None
    abort: Abort | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy asks for; None is no limit, and the default."""

    rate: Rate | None = None
    requests: int | None = None
    """How many may be in progress at once."""
    connections: int | None = None
    """How many connections to its endpoints there may be; each endpoint has one in any case."""
    pending: int | None = None
    """How many requests may wait for a connection."""
    retries: int | None = None
    """How many requests may be on an attempt after their first at once."""
    balancing: LoadBalancing | None = None
    outliers: OutlierDetection | None = None
    faults: Faults | None = None

    def without(self, other: Terms) -> Terms:
        """What these say and the other, more specific terms do not."""
        return replace(self, **{one.name: None for one in fields(self) if getattr(other, one.name) is not None})

    @property
    def bounds_connections(self) -> bool:
        """Whether connections to the service's endpoints, or its retries, are limited."""
        return not (self.connections is None and self.pending is None and self.retries is None)


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """The one policy in force for a service, or for what comes to it by a route. Each process counts for itself."""

    service: str
    """The service's key."""
    namespace: str
    name: str
    terms: Terms = field(default_factory=Terms)
    route: str = ""
    """The route's title (mesh.route.Route), where it is for that route's requests alone."""
    kind: str = "TrafficPolicy"
    """Of the object that says it; a DestinationRule may."""

    @property
    def key(self) -> str:
        """Its name in a snapshot: there is one for each service, and one for each of its routes."""
        return f"{self.service} {self.route}" if self.route else self.service

    @property
    def subject(self) -> str:
        """What its requests are sent to, for people."""
        return f"{self.service} by {self.route}" if self.route else self.service

    @property
    def title(self) -> str:
        """How people know it."""
        return f"{self.kind} {self.namespace}/{self.name}"
