"""What all conversations of one waypoint share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.balance import Dice
from mesh.health import Health
from mesh.net.deadlines import Deadlines
from mesh.net.relay import Relay
from mesh.record import Record
from mesh.sampling import Sampling
from mesh.snapshot import Snapshot
from waypoint.balancer import Balancer
from waypoint.callee import Gateway
from waypoint.limits import Limits
from waypoint.retry import Budgets
from waypoint.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Scene:
    """`current` gives the configuration in force now: each request asks once and goes by that to its end."""

    here: Gateway
    current: Callable[[], Snapshot]
    relay: Relay
    deadlines: Deadlines
    upstream: Upstream
    report: Callable[[Record], None]
    dice: Dice
    new_id: Callable[[], str]
    """A new request id for each call."""
    sniff_seconds: float = 0.2
    """How long a caller whose protocol is not declared may be silent before it is taken to wait for the server."""
    wall: Callable[[], float] = time.time
    """The time in seconds since the epoch, by which tokens are valid."""
    budgets: Budgets = field(default_factory=Budgets)
    limits: Limits = field(default_factory=Limits)
    health: Health = field(default_factory=Health)
    balancer: Balancer = field(default_factory=Balancer)
    sampling: Sampling | None = None
    """None where no spans are made: then a caller's trace travels on untouched."""
