"""Whether a service takes one more request, by its TrafficPolicies. Pure; the clock is handed in.

Who is over its rate is told when to come again (429 with Retry-After; to gRPC callers RESOURCE_EXHAUSTED). What is more
than may be in progress is refused at once (503): a queue would only make it later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

from mesh.identity import Identity
from mesh.refusal import Reason, Refusal
from mesh.traffic import Share, TrafficPolicy
from waypoint.answer import Answer
from waypoint.ratelimit import Meter


class Limits:
    """All requests in progress under a limit, by policy, and the meters of all rates."""

    __slots__ = ("_meter", "_open")

    def __init__(self) -> None:
        self._meter = Meter()
        self._open: Counter[str] = Counter()

    def enter(self, policies: Sequence[TrafficPolicy], caller: Identity, now: float) -> Answer | None:
        """Take a request in under all of them, to be followed by `leave`; or the answer that it gets instead."""
        for policy in policies:
            refused = self._full(policy) or self._fast(policy, caller, now)
            if refused is not None:
                return refused
        for policy in policies:
            self._open[policy.key] += 1
        return None

    def _full(self, policy: TrafficPolicy) -> Answer | None:
        most = policy.terms.requests
        if most is None or self._open[policy.key] < most:
            return None
        why = f"{policy.title}: {most} requests to {policy.subject} are in progress"
        return Answer(503, "too many requests in progress", refusal=Refusal(Reason.OVER_LIMIT, why))

    def _fast(self, policy: TrafficPolicy, caller: Identity, now: float) -> Answer | None:
        rate = policy.terms.rate
        if rate is None:
            return None
        holder = caller if rate.share is Share.CALLER else None
        seconds = self._meter.wait((policy.key, holder), rate, now)
        if not seconds:
            return None
        who = f"{caller} sends" if holder is not None else "callers send"
        why = f"{policy.title}: {who} more than {rate.requests} requests in {rate.per:g} s to {policy.subject}"
        later = ((b"retry-after", b"%d" % ceil(seconds)),)
        return Answer(429, "rate limit exceeded", later, Refusal(Reason.RATE_LIMITED, why))

    def leave(self, counted: Iterable[str]) -> None:
        """A request that was taken in, under policies of these keys, is over."""
        for key in counted:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
