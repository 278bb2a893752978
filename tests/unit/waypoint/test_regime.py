"""Which TrafficPolicies a request is under: what is said of its route goes before what is said of its service."""

from __future__ import annotations

from dataclasses import replace

from mesh.address import Address
from mesh.refusal import Reason
from mesh.route import Choice, RouteMatch, RouteRule
from mesh.traffic import Abort, Delay, Faults, Rate, Terms, TrafficPolicy
from tests.unit.waypoint.test_waypoint_plan import ECHO, POD, WEB, route, to
from waypoint.answer import Answer
from waypoint.endpoint import Endpoint
from waypoint.http.events import RequestHead
from waypoint.limits import Limits
from waypoint.plan import Forward
from waypoint.regime import Regime

RULE = RouteRule(backends=to(ECHO))
BY_A, BY_B = (Choice(route(RULE, name=name), RULE, 1, RouteMatch()) for name in ("a", "b"))
REQUEST = RequestHead(b"GET", b"echo", b"/")
ONE = Rate(1, 3600.0, 1)


def policy(terms: Terms, of: Choice | None = None) -> TrafficPolicy:
    return TrafficPolicy(ECHO.key, "shop", "p", terms, of.route.title if of is not None else "")


class Under:
    """Requests to a service with these policies."""

    def __init__(self, *policies: TrafficPolicy) -> None:
        self.regime = Regime({one.key: one for one in policies}, ECHO.key)
        self.limits = Limits()
        self.endpoint = Endpoint(POD, Address(POD.addresses[0], 8080), ECHO.ports[0].protocol, ECHO, 80)

    def ask(self, choice: Choice | None = None) -> Forward | Answer:
        forward = Forward(self.endpoint, REQUEST, choice=choice, policy="allow")
        return self.regime.admit(REQUEST, forward, self.limits, dice=lambda: 0.0, caller=WEB.identity, now=0.0)

    def reason(self, choice: Choice | None = None) -> Reason | None:
        found = self.ask(choice)
        if isinstance(found, Forward):
            return None
        assert found.refusal is not None
        assert (found.choice, found.policy) == (choice, "allow"), "the record knows what was decided"
        return found.refusal.reason


def test_without_a_policy_everything_stays_as_it_is() -> None:
    found = Under().ask(BY_A)
    assert isinstance(found, Forward)
    assert (found.counted, found.delay) == ((), 0.0)


def test_what_the_route_says_goes_before_what_the_service_says() -> None:
    under = Under(policy(Terms(rate=ONE)), policy(Terms(rate=replace(ONE, burst=3)), BY_A))
    assert [under.reason(BY_A) for _ in range(4)] == [None, None, None, Reason.RATE_LIMITED]
    assert [under.reason(BY_B) for _ in range(2)] == [None, Reason.RATE_LIMITED], "counted apart"


def test_what_the_route_leaves_out_the_service_says() -> None:
    under = Under(policy(Terms(rate=ONE, requests=1)), policy(Terms(rate=replace(ONE, burst=9)), BY_A))
    first = under.ask(BY_A)
    assert isinstance(first, Forward)
    assert under.reason(BY_A) is Reason.OVER_LIMIT
    assert under.reason(BY_B) is Reason.OVER_LIMIT, "the service counts the requests of all its routes together"
    under.limits.leave(first.counted)
    assert under.reason(BY_B) is None


def test_a_routes_policy_is_for_its_requests_alone() -> None:
    under = Under(policy(Terms(requests=1), BY_A))
    assert [under.reason(BY_A), under.reason(BY_A)] == [None, Reason.OVER_LIMIT]
    assert [under.reason(BY_B), under.reason(None)] == [None, None]


def test_a_routes_faults_take_the_place_of_the_services() -> None:
    under = Under(policy(Terms(faults=Faults(abort=Abort(503)))), policy(Terms(faults=Faults(Delay(2.0))), BY_A))
    found = under.ask(BY_A)
    assert isinstance(found, Forward)
    assert found.delay == 2.0
    assert under.reason(BY_B) is Reason.FAULT_INJECTED


def test_what_is_aborted_counts_for_nothing() -> None:
    under = Under(policy(Terms(requests=1, faults=Faults(abort=Abort(503)))))
    assert [under.reason() for _ in range(3)] == [Reason.FAULT_INJECTED] * 3
