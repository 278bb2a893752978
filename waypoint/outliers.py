"""Endpoints that are passed over for what they answer, by their service's TrafficPolicy. Pure; the clock is handed in.

That an endpoint cannot be reached has it passed over in any case (mesh.health), for a short time. This is about those
that answer, and badly. An endpoint that was passed over is tried again when its time is up; should it fail again, it is
passed over for longer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mesh.traffic import OutlierDetection

_LONGEST: Final = 300.0
"""Seconds for which an endpoint is passed over, unless its policy begins with more."""
_SERVICES: Final = 1024
_ENDPOINTS: Final = 4096
"""Of one service. What was heard of longest ago is forgotten first."""
_GATEWAY_ERRORS: Final = frozenset({502, 503, 504})
_PAUSES: Final = frozenset({429, 503})
"""With which an endpoint may say in Retry-After how long it wants to be left alone (RFC 9110, 10.2.3; RFC 6585, 4)."""
_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched for among a service's endpoints, of which there are so many."""

    service: str
    rule: OutlierDetection
    endpoints: int


@dataclass(frozen=True, slots=True)
class Ejection:
    """An endpoint is passed over from now on, for so many seconds."""

    seconds: float
    why: str


@dataclass(slots=True)
class _Endpoint:
    errors: int = 0
    gateway_errors: int = 0
    began: float = 0.0
    """When the interval of `answers` began."""
    answers: int = 0
    good: int = 0
    until: float = 0.0
    times: int = 0
    """How often it was passed over in succession."""

    def judge(self, rule: OutlierDetection, status: int, now: float) -> str:
        """Count one answer: why the endpoint is an outlier now, if it is."""
        if now - self.began >= rule.interval:
            self.began, self.answers, self.good = now, 0, 0
        bad = status >= 500
        self.answers += 1
        self.good += not bad
        self.errors = self.errors + 1 if bad else 0
        self.gateway_errors = self.gateway_errors + 1 if status in _GATEWAY_ERRORS else 0
        if rule.errors is not None and self.errors >= rule.errors:
            return f"{self.errors} answers of 5xx in a row"
        if rule.gateway_errors is not None and self.gateway_errors >= rule.gateway_errors:
            return f"{self.gateway_errors} gateway errors in a row"
        if rule.success_percent is None or self.answers < rule.least_requests:
            return ""
        few = self.good * 100 < rule.success_percent * self.answers
        return f"{self.good} of {self.answers} answers were good" if few else ""

    def again(self, rule: OutlierDetection, now: float) -> float:
        """Seconds to be passed over for, each time in succession longer; what is long ago is forgotten."""
        self.times = max(0, self.times - int((now - self.until) / rule.ejection)) + 1
        return min(rule.ejection * self.times, max(_LONGEST, rule.ejection))

    def rest(self, until: float) -> None:
        """It is passed over until then, and begins anew afterwards."""
        self.until = self.began = until
        self.errors = self.gateway_errors = self.answers = self.good = 0


@dataclass(slots=True)
class _Service:
    endpoints: OrderedDict[str, _Endpoint] = field(default_factory=OrderedDict)
    ejected: dict[str, float] = field(default_factory=dict)
    """Until when."""

    def endpoint(self, uid: str, now: float) -> _Endpoint:
        one = self.endpoints.get(uid)
        if one is None:
            one = self.endpoints[uid] = _Endpoint(began=now)
            if len(self.endpoints) > _ENDPOINTS:
                self.ejected.pop(self.endpoints.popitem(last=False)[0], None)
        self.endpoints.move_to_end(uid)
        return one

    def room(self, watch: Watch, now: float) -> bool:
        """Whether one more may be passed over."""
        self.ejected = {uid: until for uid, until in self.ejected.items() if until > now}
        return len(self.ejected) < max(1, watch.endpoints * watch.rule.most_percent // 100)


class Outliers:
    """Of all services that one process of a waypoint watches."""

    __slots__ = ("_services",)

    def __init__(self) -> None:
        self._services: OrderedDict[str, _Service] = OrderedDict()

    def ejected(self, service: str, now: float) -> frozenset[str]:
        """The uids of the service's endpoints that are passed over now."""
        known = self._services.get(service)
        if known is None or not known.ejected:
            return _NOBODY
        return frozenset(uid for uid, until in known.ejected.items() if until > now)

    def heard(
        self, watch: Watch, uid: str, status: int, now: float, *, retry_after: float | None = None
    ) -> Ejection | None:
        """An endpoint has answered with this status, or failed in a way for which a gateway would give it."""
        known, rule = self._service(watch.service), watch.rule
        one = known.endpoint(uid, now)
        if one.until > now:
            return None  # it was asked before it was passed over
        why = one.judge(rule, status, now)
        asked = retry_after if rule.retry_after and status in _PAUSES else None
        if not (why or asked) or not known.room(watch, now):
            return None
        if asked:
            ejection = Ejection(min(asked, max(_LONGEST, rule.ejection)), f"it answered {status} with Retry-After")
        else:
            ejection = Ejection(one.again(rule, now), why)
        known.ejected[uid] = now + ejection.seconds
        one.rest(now + ejection.seconds)
        return ejection

    def _service(self, key: str) -> _Service:
        known = self._services.get(key)
        if known is None:
            known = self._services[key] = _Service()
            if len(self._services) > _SERVICES:
                self._services.popitem(last=False)
        return known
