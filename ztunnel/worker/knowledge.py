"""What one worker knows of the mesh: itself, and what lies at the addresses it asked about. Pure."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final

from mesh.address import IP
from mesh.snapshot import Snapshot
from mesh.workload import Workload
from ztunnel.channel.message import Update

MOST_DESTINATIONS: Final = 1024
"""Addresses that are kept up to date; the one longest unused makes room for the next."""


class Asking(Enum):
    """What stands in the way of knowing what lies at an address."""

    ANSWERED = "answered"
    UNDER_WAY = "under way"
    """It was asked before, and no answer came yet."""
    NEEDED = "needed"
    """It is noted as asked now: the question must be sent."""
    FULL = "full"
    """So many questions are open that no more are asked."""


class Knowledge:
    """A partial snapshot and for which addresses it is complete.

    It stays in use while the supervisor is away: what was known then is the best that there is.
    """

    def __init__(self, most: int = MOST_DESTINATIONS) -> None:
        self.snapshot = Snapshot()
        self.own: Workload | None = None
        self._most = most
        self._answered: OrderedDict[IP, None] = OrderedDict()
        self._open: dict[IP, None] = {}

    @property
    def asked(self) -> tuple[IP, ...]:
        """All addresses that were asked about and not forgotten since."""
        return (*self._answered, *self._open)

    def knows(self, ip: IP) -> bool:
        """Whether everything about `ip` is known; it counts as used then."""
        if ip not in self._answered:
            return False
        self._answered.move_to_end(ip)
        return True

    def look(self, ip: IP) -> Asking:
        """Whether everything about `ip` is known; if it was not even asked, it counts as asked from now on."""
        if self.knows(ip):
            return Asking.ANSWERED
        if ip in self._open:
            return Asking.UNDER_WAY
        if len(self._open) >= self._most:
            return Asking.FULL
        self._open[ip] = None
        return Asking.NEEDED

    def surplus(self) -> tuple[IP, ...]:
        """Forget the addresses that are too many, and say which they were.

        Only answered ones are forgotten: with an answer under way, a later question could take it for its own.
        """
        surplus = max(0, len(self._answered) + len(self._open) - self._most)
        return tuple(self._answered.popitem(last=False)[0] for _ in range(min(surplus, len(self._answered))))

    def take(self, update: Update) -> None:
        """Take in an update."""
        if update.whole:
            self._open = dict.fromkeys((*self._open, *self._answered))
            self._answered.clear()
        base = Snapshot() if update.whole else self.snapshot
        self.snapshot = base.apply(update.changes)
        self.own = self.snapshot.workloads.get(update.own) if update.own is not None else None
        for ip in update.answered:
            if ip in self._open:
                del self._open[ip]
                self._answered[ip] = None
