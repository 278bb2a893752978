"""The TrafficPolicies that a request is under: its route's, and its service's where that says nothing. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from waypoint.answer import Answer
from waypoint.faults import aborted, delay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.balance import Dice
    from mesh.identity import Identity
    from mesh.route import Choice
    from mesh.traffic import TrafficPolicy
    from waypoint.http.events import RequestHead
    from waypoint.limits import Limits
    from waypoint.plan import Forward


class Regime:
    """Of one service, under one configuration."""

    __slots__ = ("_found", "_service", "_told")

    def __init__(self, told: Mapping[str, TrafficPolicy], service: str) -> None:
        """`told` are all policies by their keys; `service` is the service's key."""
        self._told = told
        self._service = service
        self._found: dict[str, tuple[TrafficPolicy, ...]] = {}

    def policies(self, choice: Choice | None) -> tuple[TrafficPolicy, ...]:
        """Those for a request by this rule, the more specific first; what one of them says no other one does."""
        route = choice.route.title if choice is not None else ""
        found = self._found.get(route)
        if found is None:
            own, whole = self._told.get(f"{self._service} {route}"), self._told.get(self._service)
            if own is not None and whole is not None:
                whole = replace(whole, terms=whole.terms.without(own.terms))
            found = self._found[route] = tuple(one for one in (own, whole) if one is not None)
        return found

    def admit(
        self, request: RequestHead, forward: Forward, limits: Limits, *, dice: Dice, caller: Identity, now: float
    ) -> Forward | Answer:
        """The plan for a request under these policies: perhaps a fault, or that no more requests are taken."""
        policies = self.policies(forward.choice)
        if not policies:
            return forward
        refused = _faulty(policies, request, dice) or limits.enter(policies, caller, now)
        if refused is None:
            held = sum(delay(one.terms.faults, dice) for one in policies if one.terms.faults is not None)
            return replace(forward, counted=tuple(one.key for one in policies), delay=held)
        return replace(
            refused,
            choice=forward.choice,
            policy=forward.policy,
            dry_run=forward.dry_run,
            audit=forward.audit,
            check=forward.check,
            secret=forward.secret,
        )


def _faulty(policies: tuple[TrafficPolicy, ...], request: RequestHead, dice: Dice) -> Answer | None:
    for one in policies:
        if one.terms.faults is not None and (answer := aborted(one.terms.faults, one.title, request, dice)):
            return answer
    return None
