"""The connections to a service's endpoints, as far as its TrafficPolicy bounds them. Pure.

A request for which no connection is free waits while there are as many as may be, in the order in which it came; when
too many wait, it is refused. An endpoint to which there is none at all always gets one, or its requests would wait for
connections that are none of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    from mesh.traffic import TrafficPolicy

_WAITING: Final = 1024
"""Requests that may wait where the policy does not say how many."""


class Line(Protocol):
    """Those who wait for a connection to one endpoint."""

    @property
    def waits(self) -> int:
        """How many there are."""


class Circuit:
    """Of one service. `open` is how many connections there are, those included that are being made."""

    __slots__ = ("open", "policy")

    def __init__(self, policy: TrafficPolicy) -> None:
        self.policy = policy
        """The one in force now."""
        self.open = 0

    @property
    def full(self) -> bool:
        """Whether there are as many connections as may be."""
        most = self.policy.terms.connections
        return most is not None and self.open >= most

    def queue(self, lines: Iterable[Line]) -> Refusal | None:
        """Whether one more request may wait, next to those in the lines of the service's endpoints."""
        most = self.policy.terms.pending
        if sum(line.waits for line in lines) < (_WAITING if most is None else most):
            return None
        why = f"{self.policy.title}: {_WAITING if most is None else most} requests wait for connections already"
        return Refusal(Reason.OVER_PENDING, why)

    def enter(self) -> Refusal | None:
        """Make room for a connection of opaque bytes, which waits for nothing; `open` is less one when it ends."""
        if self.full:
            why = f"{self.policy.title}: there are {self.open} connections to {self.policy.service} already"
            return Refusal(Reason.OVER_CONNECTIONS, why)
        self.open += 1
        return None
