"""15001: what the pod's processes call. Each connection is planned, and then carried where the plan says."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

from mesh.address import Address
from mesh.health import Health
from mesh.net.pool import Pool
from mesh.refusal import Refusal
from ztunnel.worker.call import Call
from ztunnel.worker.decisions import Directions, Introduction
from ztunnel.worker.ground import Ground
from ztunnel.worker.names import Names
from ztunnel.worker.sockets import original_destination
from ztunnel.worker.witness import Witness


class Outbound:
    """Serves the connections of one pod's processes. `certified` says why no tunnel can be opened now, or None."""

    def __init__(
        self,
        ground: Ground,
        pool: Pool,
        names: Names,
        *,
        certified: Callable[[], Refusal | None],
    ) -> None:
        self.ground = ground
        self.pool = pool
        self.names = names
        self.certified = certified
        self.health = Health()
        self.directions = Directions()
        self.introduction = Introduction()

    def take(self, sock: socket.socket, source: Address, done: Callable[[], None]) -> None:
        """Carry one connection from its first moment to its end, which `done` hears of. A refusal resets it."""
        Call(self, sock, source, Witness(self.ground.crowd, outbound=True, done=done)).begin()

    def refuse(self, sock: socket.socket, source: Address, refusal: Refusal) -> None:
        """Tell of a connection that is not served."""
        witness = Witness(self.ground.crowd, outbound=True)
        witness.learn(source=source)
        with suppress(OSError):  # it has gone already
            witness.learn(destination=original_destination(sock))
        witness.refused(refusal)
