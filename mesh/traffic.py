"""How much of its callers' traffic a service takes: what TrafficPolicy says, as waypoints keep to it."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """The one policy in force for a service; None is no limit. Each process of a waypoint counts for itself."""

    service: str
    """The service's key."""
    namespace: str
    name: str
    rate: Rate | None = None
    requests: int | None = None
    """How many may be in progress at once."""

    @property
    def key(self) -> str:
        """Its name in a snapshot: there is one for each service."""
        return self.service

    @property
    def title(self) -> str:
        """How people know it."""
        return f"TrafficPolicy {self.namespace}/{self.name}"
