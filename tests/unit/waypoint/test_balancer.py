"""How a TrafficPolicy has requests spread over endpoints."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from mesh.health import Health
from mesh.route import Backend, Route, RouteKind, RouteRule
from mesh.snapshot import Snapshot
from mesh.traffic import HashOn, HashSource, LoadBalancing, OutlierDetection, Spread, Terms, TrafficPolicy
from mesh.workload import Workload
from tests.unit.waypoint.test_waypoint_plan import WEB
from tests.waypoint_ends import HERE, VIP, endpoint, service
from waypoint.balancer import Balancer
from waypoint.callee import Callee, resolve
from waypoint.http.events import RequestHead
from waypoint.plan import Caller, Forward, Question, another, plan

ECHO = service()
NAMES = ("a", "b", "c")
PODS = tuple(endpoint(name, f"10.244.1.{number}", ECHO) for number, name in enumerate(NAMES, 1))
HEADER = HashOn(HashSource.HEADER, "x-user")


class Scene:
    """A service with a way to spread requests, asked again and again."""

    def __init__(
        self,
        balancing: LoadBalancing | None,
        *pods: Workload,
        caller: Caller = WEB,
        outliers: OutlierDetection | None = None,
    ) -> None:
        policy = TrafficPolicy(ECHO.key, "shop", "echo", Terms(balancing=balancing, outliers=outliers))
        self.now = 0.0
        self.dice = random.Random(1).random
        self.health = Health()
        self.balancer = Balancer()
        self.told = [ECHO, policy, *(pods or PODS)]
        self.caller = caller

    def question(self, *more: object) -> Question:
        snapshot = Snapshot.of([*self.told, *more])
        callee = resolve(snapshot, HERE, f"{VIP}:80")
        assert isinstance(callee, Callee)
        return Question(
            snapshot,
            HERE,
            callee,
            self.caller,
            self.dice,
            health=self.health,
            now=lambda: self.now,
            balancer=self.balancer,
        )

    def ask(self, *headers: tuple[bytes, bytes], question: Question | None = None) -> Forward:
        found = plan(question or self.question(), RequestHead(b"GET", b"echo", b"/", headers))
        assert isinstance(found, Forward)
        return found

    def pods(self, times: int, *headers: tuple[bytes, bytes]) -> list[str]:
        question = self.question()
        return [self.ask(*headers, question=question).endpoint.workload.name for _ in range(times)]


def made(forward: Forward) -> str:
    """The cookie that the caller is given."""
    [change] = forward.response_changes
    [(name, text)] = change.add
    assert name == "set-cookie"
    return text


def test_in_turn_means_everybody_once_before_anybody_twice() -> None:
    scene = Scene(LoadBalancing(Spread.ROUND_ROBIN))
    first = scene.pods(3)
    assert sorted(first) == ["a", "b", "c"]
    assert scene.pods(6) == first * 2, "conversations take turns together"


def test_turns_are_as_frequent_as_weights_say_and_lie_apart() -> None:
    heavy = replace(PODS[0], capacity=300)
    scene = Scene(LoadBalancing(Spread.ROUND_ROBIN), heavy, replace(PODS[1], capacity=100))
    turns = scene.pods(400)
    assert Counter(turns) == {"a": 300, "b": 100}
    assert "b b" not in " ".join(turns)
    assert " ".join(["a"] * 8) not in " ".join(turns)


def test_one_that_failed_lately_misses_its_turn() -> None:
    scene = Scene(LoadBalancing(Spread.ROUND_ROBIN))
    scene.health.failed(PODS[1].uid, 0.0)
    assert Counter(scene.pods(10)) == {"a": 5, "c": 5}


def test_least_request_knows_no_latency() -> None:
    scene = Scene(LoadBalancing(Spread.LEAST_REQUEST), *PODS[:2])
    scene.health.opened(PODS[0].uid, 9.0, 0.0)
    scene.health.closed(PODS[0].uid)
    scene.health.opened(PODS[1].uid, 0.005, 0.0)
    assert set(scene.pods(20)) == {"a"}, "slow, but idle"


def test_the_same_header_leads_to_the_same_endpoint_and_others_elsewhere() -> None:
    scene = Scene(LoadBalancing(Spread.CONSISTENT_HASH, HEADER))
    homes = {user: set(scene.pods(5, (b"x-user", b"%d" % user))) for user in range(60)}
    assert all(len(home) == 1 for home in homes.values())
    assert set().union(*homes.values()) == set(NAMES)
    assert set(scene.pods(60)) == set(NAMES), "without the header there is nothing to go by"


def test_an_endpoint_that_comes_takes_a_share_and_moves_nobody_else() -> None:
    before = Scene(LoadBalancing(Spread.CONSISTENT_HASH, HEADER), *PODS[:2])
    after = Scene(LoadBalancing(Spread.CONSISTENT_HASH, HEADER), *PODS)
    for user in range(100):
        header = (b"x-user", b"%d" % user)
        assert after.pods(1, header)[0] in {"c", *before.pods(1, header)}


def test_another_attempt_goes_elsewhere_and_always_to_the_same_place() -> None:
    scene = Scene(LoadBalancing(Spread.CONSISTENT_HASH, HEADER))
    question = scene.question()
    forward = scene.ask((b"x-user", b"7"), question=question)
    tried = frozenset({forward.endpoint.workload.uid})
    seconds = {another(question, forward, tried).workload.name for _ in range(10)}
    assert len(seconds) == 1
    assert seconds != {forward.endpoint.workload.name}
    scene.health.failed(forward.endpoint.workload.uid, 0.0)
    assert set(scene.pods(5, (b"x-user", b"7"))) == seconds, "and there its share goes while it fails"


def test_a_caller_without_the_cookie_gets_one_that_leads_back() -> None:
    scene = Scene(LoadBalancing(Spread.CONSISTENT_HASH, HashOn(HashSource.COOKIE, "pod", "/app", 3600.0)))
    for _ in range(20):
        first = scene.ask((b"cookie", b"other=1"))
        pair, *rest = made(first).split("; ")
        assert rest == ["Max-Age=3600", "Path=/app", "HttpOnly"]
        second = scene.ask((b"cookie", b"other=1"), (b"cookie", b"x=y; " + pair.encode()))
        assert second.endpoint == first.endpoint
        assert second.response_changes == ()


def test_a_session_cookie_states_no_age() -> None:
    scene = Scene(LoadBalancing(Spread.CONSISTENT_HASH, HashOn(HashSource.COOKIE, "pod")))
    assert made(scene.ask()).split("; ")[1:] == ["Path=/", "HttpOnly"]


@pytest.mark.parametrize("source", [HashSource.IDENTITY, HashSource.ADDRESS])
def test_callers_are_told_apart_by_who_or_where_they_are(source: HashSource) -> None:
    balancing = LoadBalancing(Spread.CONSISTENT_HASH, HashOn(source))
    homes = set()
    for number in range(40):
        who = Caller(replace(WEB.identity, service_account=f"web-{number}"), WEB.ip)
        where = Caller(WEB.identity, ip_address(f"10.244.7.{number}"))
        found = set(Scene(balancing, caller=who if source is HashSource.IDENTITY else where).pods(4))
        assert len(found) == 1
        homes |= found
    assert homes == set(NAMES)


def test_a_request_by_a_route_is_bound_to_its_backend_by_what_the_caller_sent() -> None:
    rule = RouteRule(backends=(Backend(ECHO.key, 80),))
    route = Route(f"HTTPRoute/shop/r/{ECHO.key}/*", RouteKind.HTTP, "shop", "r", ECHO.key, "shop", rules=(rule,))
    scene = Scene(LoadBalancing(Spread.CONSISTENT_HASH, HashOn(HashSource.COOKIE, "pod")))
    question = scene.question(route)
    first = scene.ask(question=question)
    again = {scene.ask((b"cookie", made(first).encode()), question=question).endpoint for _ in range(10)}
    assert again == {first.endpoint}


def fail(scene: Scene, pod: Workload) -> None:
    """It answers 500, as often as its policy bears."""
    watch = scene.ask().endpoint.watch
    assert watch is not None
    assert watch.endpoints == len(NAMES)
    scene.balancer.outliers.heard(watch, pod.uid, 500, scene.now)


@pytest.mark.parametrize("spread", [one for one in Spread if one is not Spread.CONSISTENT_HASH])
def test_an_outlier_gets_nothing_until_its_time_is_up(spread: Spread) -> None:
    scene = Scene(LoadBalancing(spread), outliers=OutlierDetection(errors=1))
    fail(scene, PODS[0])
    assert set(scene.pods(30)) == {"b", "c"}
    scene.now = 30.1
    assert set(scene.pods(30)) == set(NAMES)


def test_without_a_way_to_spread_requests_outliers_are_passed_over_all_the_same() -> None:
    scene = Scene(None, outliers=OutlierDetection(errors=1))
    fail(scene, PODS[0])
    assert set(scene.pods(30)) == {"b", "c"}


def test_when_too_few_are_left_nobody_is_passed_over() -> None:
    rule = OutlierDetection(errors=1, most_percent=100, panic_percent=50)
    scene = Scene(None, outliers=rule)
    fail(scene, PODS[0])
    assert set(scene.pods(30)) == {"b", "c"}, "two thirds are left"
    fail(scene, PODS[1])
    assert set(scene.pods(30)) == set(NAMES), "one third is left"


def test_when_all_are_outliers_all_are_asked() -> None:
    scene = Scene(None, outliers=OutlierDetection(errors=1, most_percent=100))
    for pod in PODS:
        fail(scene, pod)
    assert set(scene.pods(30)) == set(NAMES)


@pytest.mark.parametrize("spread", [one for one in Spread if one is not Spread.CONSISTENT_HASH])
def test_a_new_endpoint_comes_to_its_share_gradually(spread: Spread) -> None:
    scene = Scene(LoadBalancing(spread, slow_start=100.0), *PODS[:2])
    assert set(scene.pods(40)) == {"a", "b"}, "those that were there at first are not new"
    scene.told.append(PODS[2])
    shares = []
    for scene.now in (1.0, 51.0, 102.0):
        shares.append(Counter(scene.pods(600))["c"])
    assert 0 < shares[0] < 60
    assert 60 < shares[1] < 150
    assert 150 < shares[2] < 250


def test_a_new_endpoint_that_is_the_only_one_gets_everything() -> None:
    scene = Scene(LoadBalancing(slow_start=100.0), *PODS[:1])
    scene.pods(1)
    scene.told = [*scene.told[:2], PODS[2]]
    assert set(scene.pods(20)) == {"c"}
