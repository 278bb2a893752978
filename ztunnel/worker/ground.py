"""What every connection of a worker stands on, whichever way it goes."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from mesh.net.deadlines import Deadlines
from mesh.net.relay import Relay
from mesh.sampling import Sampling
from ztunnel.worker.crowd import Crowd
from ztunnel.worker.lookup import Lookup


@dataclass(frozen=True, slots=True)
class Ground:
    """The parts that all share."""

    relay: Relay
    deadlines: Deadlines
    lookup: Lookup
    crowd: Crowd
    tasks: trio.Nursery
    """For what must be waited for."""
    timeout: float
    """Seconds for a connection to be made."""
    sampling: Sampling | None = None
    """Which traces are kept; None where no spans are made."""
