"""Whether a service takes one more request, by its TrafficPolicy. Pure; the clock is handed in.

Who is over its rate is told when to come again (429 with Retry-After; to gRPC callers RESOURCE_EXHAUSTED). What is more
than may be in progress is refused at once (503): a queue would only make it later.
"""

from __future__ import annotations

from collections import Counter
from math import ceil

from mesh.identity import Identity
from mesh.refusal import Reason, Refusal
from mesh.traffic import Share, TrafficPolicy
from waypoint.answer import Answer
from waypoint.ratelimit import Meter


class Limits:
    """All requests in progress under a limit, by service, and the meters of all rates."""

    __slots__ = ("_meter", "_open")

    def __init__(self) -> None:
        self._meter = Meter()
        self._open: Counter[str] = Counter()

    def enter(self, policy: TrafficPolicy, caller: Identity, now: float) -> Answer | None:
        """Take a request in, to be followed by `leave`; or the answer that it gets instead."""
        service, most, rate = policy.service, policy.terms.requests, policy.terms.rate
        if most is not None and self._open[service] >= most:
            why = f"{policy.title}: {most} requests to {service} are in progress"
            return Answer(503, "too many requests in progress", refusal=Refusal(Reason.OVER_LIMIT, why))
        if rate is not None:
            holder = caller if rate.share is Share.CALLER else None
            seconds = self._meter.wait((service, holder), rate, now)
            if seconds:
                who = f"{caller} sends" if holder is not None else "callers send"
                why = f"{policy.title}: {who} more than {rate.requests} requests in {rate.per:g} s to {service}"
                later = ((b"retry-after", b"%d" % ceil(seconds)),)
                return Answer(429, "rate limit exceeded", later, Refusal(Reason.RATE_LIMITED, why))
        self._open[service] += 1
        return None

    def leave(self, service: str) -> None:
        """A request that was taken in is over."""
        self._open[service] -= 1
        if not self._open[service]:
            del self._open[service]
