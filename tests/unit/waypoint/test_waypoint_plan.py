"""What a waypoint decides, request by request."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from mesh.address import Address, NetworkAddress
from mesh.health import Health
from mesh.identity import Identity
from mesh.policy import Action, Clause, HeaderMatch, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.refusal import Reason, Refusal
from mesh.route import (
    Backend,
    Cors,
    HeaderModifier,
    PathMatch,
    PathMatchKind,
    Redirect,
    RequestHeaders,
    ResponseHeaders,
    Retry,
    Route,
    RouteKind,
    RouteMatch,
    RouteRule,
)
from mesh.snapshot import Snapshot
from mesh.workload import AppProtocol, GatewayAddress, NamespacedHostname, Port, Service, TunnelProtocol, Workload
from tests.waypoint_ends import BOUND, HERE, VIP, endpoint, service
from waypoint.answer import Answer
from waypoint.callee import Callee, Speech, policies, resolve, speech
from waypoint.http.events import RequestHead
from waypoint.plan import Caller, Endpoint, Forward, Question, another, plan, plan_opaque

ECHO = service()
OTHER = service("other", "10.96.0.2")
POD = endpoint("echo-1", "10.244.1.5", ECHO)
WEB = Caller(Identity("cluster.local", "shop", "web"), ip_address("10.244.1.9"))
TOURIST = Caller(Identity("cluster.local", "abroad", "web"), ip_address("10.244.2.9"))


def ask(
    *resources: Service | Workload | Route | Policy,
    path: str = "/",
    caller: Caller = WEB,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    roll: float = 0.0,
    authority: str = f"{VIP}:80",
    method: bytes = b"GET",
) -> Forward | Answer:
    snapshot = Snapshot.of(resources)
    callee = resolve(snapshot, HERE, authority)
    assert isinstance(callee, Callee), callee
    return plan(
        Question(snapshot, HERE, callee, caller, lambda: roll), RequestHead(method, b"echo", path.encode(), headers)
    )


def route(*rules: RouteRule, namespace: str = "shop", name: str = "r", kind: RouteKind = RouteKind.HTTP) -> Route:
    return Route(f"{kind.value}/{namespace}/{name}/{ECHO.key}/*", kind, namespace, name, ECHO.key, "shop", rules=rules)


def to(*services: Service, weight: int = 1) -> tuple[Backend, ...]:
    return tuple(Backend(one.key, 80, weight) for one in services)


def under(prefix: str) -> tuple[RouteMatch, ...]:
    return (RouteMatch(PathMatch(PathMatchKind.PREFIX, prefix)),)


def test_without_routes_a_request_goes_to_the_service_as_it_came() -> None:
    found = ask(ECHO, POD, headers=((b"x-a", b"1"),))
    assert isinstance(found, Forward)
    assert found.endpoint.address == Address(ip_address("10.244.1.5"), 8080)
    assert found.endpoint.tunnel == Address(ip_address("10.244.1.5"), 15008)
    assert found.endpoint.accepts == {POD.identity}
    assert found.request.headers == ((b"x-a", b"1"),)


def test_a_pod_without_a_proxy_is_called_in_plain_tcp() -> None:
    found = ask(ECHO, replace(POD, tunnel=TunnelProtocol.NONE))
    assert isinstance(found, Forward)
    assert found.endpoint.tunnel is None


@pytest.mark.parametrize(
    "pods",
    [(), (replace(POD, healthy=False),), (replace(POD, network="far"),), (replace(POD, addresses=()),)],
)
def test_without_a_usable_endpoint_it_is_503(pods: tuple[Workload, ...]) -> None:
    found = ask(ECHO, *pods)
    assert isinstance(found, Answer)
    assert (found.status, found.text) == (503, "no healthy upstream")
    assert found.refusal is not None
    assert found.refusal.reason is Reason.NO_HEALTHY_ENDPOINT


def test_with_routes_what_no_rule_matches_is_404() -> None:
    found = ask(ECHO, POD, route(RouteRule(under("/a"), backends=to(ECHO))), path="/b")
    assert isinstance(found, Answer)
    assert found.status == 404


@pytest.mark.parametrize(
    "rule",
    [
        RouteRule(),
        RouteRule(backends=to(ECHO, weight=0)),
        RouteRule(backends=(Backend("", 0, broken="no such kind"),)),
        RouteRule(backends=(Backend("shop/gone.example", 80),)),
        RouteRule(backends=(Backend(ECHO.key, 81),)),
        RouteRule(backends=to(ECHO), broken="filter ExtensionRef is not supported"),
        RouteRule(filters=(Redirect(),), broken="filter ExtensionRef is not supported"),
    ],
)
def test_what_cannot_be_carried_out_is_500(rule: RouteRule) -> None:
    found = ask(ECHO, POD, route(rule))
    assert isinstance(found, Answer)
    assert found.status == 500
    assert found.refusal is not None
    assert found.refusal.reason is Reason.BROKEN_ROUTE


def test_a_backend_without_an_endpoint_is_503_and_names_its_route() -> None:
    found = ask(ECHO, POD, OTHER, route(RouteRule(backends=to(OTHER))))
    assert isinstance(found, Answer)
    assert found.status == 503
    assert found.choice is not None


def test_only_the_share_of_a_broken_backend_fails() -> None:
    backends = (Backend(ECHO.key, 80, 7), Backend("", 0, 3, broken="missing"))
    dice = random.Random(5)
    found = Counter(type(ask(ECHO, POD, route(RouteRule(backends=backends)), roll=dice.random())) for _ in range(1000))
    assert 650 <= found[Forward] <= 750


@pytest.mark.parametrize(("roll", "expected"), [(0.0, 0), (0.69, 0), (0.7, 2), (0.999, 2)])
def test_the_dice_choose_by_weight_and_never_what_weighs_nothing(roll: float, expected: int) -> None:
    services = [service(f"s{number}", f"10.96.1.{number}") for number in range(3)]
    pods = [endpoint(f"p{number}", f"10.244.3.{number + 1}", one) for number, one in enumerate(services)]
    backends = tuple(Backend(one.key, 80, weight) for one, weight in zip(services, (70, 0, 30), strict=True))
    found = ask(ECHO, *services, *pods, route(RouteRule(backends=backends)), roll=roll)
    assert isinstance(found, Forward)
    assert found.endpoint.workload is pods[expected]


def test_a_backends_own_routes_are_not_asked() -> None:
    far = replace(route(RouteRule(under("/never"))), service=OTHER.key, key="x")
    found = ask(ECHO, OTHER, endpoint("o-1", "10.244.9.9", OTHER), route(RouteRule(backends=to(OTHER))), far)
    assert isinstance(found, Forward)


def test_consumer_routes_are_for_callers_of_their_namespace_alone() -> None:
    producer = route(RouteRule((RouteMatch(PathMatch(PathMatchKind.PREFIX, "/"), ()),), backends=to(ECHO)))
    stamp = RequestHeaders(HeaderModifier(set=(("x-consumer", "1"),)))
    consumer = route(RouteRule(filters=(stamp,), backends=to(ECHO)), namespace="abroad", name="c")
    at_home, abroad = ask(ECHO, POD, producer, consumer), ask(ECHO, POD, producer, consumer, caller=TOURIST)
    assert isinstance(at_home, Forward)
    assert isinstance(abroad, Forward)
    assert (b"x-consumer", b"1") in abroad.request.headers
    assert (b"x-consumer", b"1") not in at_home.request.headers
    alone = ask(ECHO, POD, consumer)
    assert isinstance(alone, Forward)
    assert alone.choice is None


def test_filters_of_rule_and_backend_both_work() -> None:
    def mark(text: str) -> HeaderModifier:
        return HeaderModifier(add=(("x-by", text),))

    backend = Backend(ECHO.key, 80, filters=(RequestHeaders(mark("backend")), ResponseHeaders(mark("backend"))))
    rule = RouteRule(filters=(RequestHeaders(mark("rule")), ResponseHeaders(mark("rule"))), backends=(backend,))
    found = ask(ECHO, POD, route(rule))
    assert isinstance(found, Forward)
    assert [text for name, text in found.request.headers if name == b"x-by"] == [b"rule", b"backend"]
    assert found.response_changes == (mark("backend"), mark("rule"))


@pytest.mark.parametrize("where", ["rule", "backend"])
def test_a_redirect_answers_in_the_backends_place(where: str) -> None:
    redirect = Redirect(host="example.org", status=301)
    backend = Backend(ECHO.key, 80, filters=(redirect,) if where == "backend" else ())
    rule = RouteRule(under("/a"), (redirect,) if where == "rule" else (), () if where == "rule" else (backend,))
    found = ask(ECHO, POD, route(rule), path="/a/b")
    assert isinstance(found, Answer)
    assert (found.status, found.headers) == (301, ((b"location", b"http://example.org/a/b"),))
    assert found.refusal is None


def test_the_whole_and_each_attempt_have_their_times() -> None:
    found = ask(ECHO, POD, route(RouteRule(backends=to(ECHO), timeout=2.0, backend_timeout=1.0, retry=Retry(3))))
    assert isinstance(found, Forward)
    assert (found.timeout, found.attempt_timeout, found.retry) == (2.0, 1.0, Retry(3))
    unlimited = ask(ECHO, POD, route(RouteRule(backends=to(ECHO), timeout=0.0)))
    assert isinstance(unlimited, Forward)
    assert (unlimited.timeout, unlimited.attempt_timeout, unlimited.retry) == (None, None, None)


def test_another_attempt_goes_to_an_endpoint_that_was_not_tried() -> None:
    second = endpoint("echo-2", "10.244.1.6", ECHO)
    snapshot = Snapshot.of((ECHO, POD, second))
    callee = resolve(snapshot, HERE, f"{VIP}:80")
    assert isinstance(callee, Callee)
    question = Question(snapshot, HERE, callee, WEB, lambda: 0.0)
    forward = plan(question, RequestHead(b"GET", b"echo", b"/"))
    assert isinstance(forward, Forward)
    first = forward.endpoint.workload
    other = another(question, forward, frozenset({first.uid})).workload
    assert {first, other} == {POD, second}
    assert another(question, forward, frozenset({first.uid, other.uid})).workload in {POD, second}


def test_nobody_can_pretend_an_identity_by_a_header() -> None:
    found = ask(ECHO, POD, headers=((b"x-forwarded-client-cert", b"URI=spiffe://x"), (b"x-a", b"1")))
    assert isinstance(found, Forward)
    assert found.request.headers == ((b"x-a", b"1"),)


def deny(target: Target, namespace: str = "shop", path: str = "/admin") -> Policy:
    matches = (Match(paths=(TextMatch(TextMatchKind.PREFIX, path),)),)
    return Policy("p", namespace, Scope.TARGET, Action.DENY, (Rule((Clause(matches),)),), targets=(target,))


@pytest.mark.parametrize(
    ("policy", "in_force"),
    [
        (deny(Target("Gateway", "shop", "waypoint")), True),
        (deny(Target("Service", "shop", "echo")), True),
        (deny(Target("GatewayClass", "", "istio-waypoint"), "istio-system"), True),
        (deny(Target("GatewayClass", "", "istio-waypoint"), "shop"), False),
        (deny(Target("GatewayClass", "", "another"), "istio-system"), False),
        (deny(Target("Gateway", "shop", "second")), False),
        (deny(Target("Gateway", "elsewhere", "waypoint")), False),
        (deny(Target("Service", "shop", "other")), False),
    ],
)
def test_policies_are_in_force_for_what_they_target(policy: Policy, in_force: bool) -> None:
    found = ask(ECHO, POD, policy, path="/admin/x")
    assert isinstance(found, Answer if in_force else Forward)
    if isinstance(found, Answer):
        assert (found.status, found.text) == (403, "RBAC: access denied")
    assert isinstance(ask(ECHO, POD, policy, path="/public"), Forward)


def test_a_policy_judges_before_any_route() -> None:
    policy = deny(Target("Service", "shop", "echo"))
    found = ask(ECHO, POD, policy, route(RouteRule(filters=(Redirect(),))), path="/%61dmin")
    assert isinstance(found, Answer)
    assert found.status == 403


def test_opaque_connections_go_to_the_service_or_nowhere() -> None:
    snapshot = Snapshot.of((ECHO, POD))
    callee = resolve(snapshot, HERE, f"{VIP}:80")
    assert isinstance(callee, Callee)
    assert isinstance(plan_opaque(Question(snapshot, HERE, callee, WEB, lambda: 0.0)), Endpoint)
    denied = Snapshot.of((ECHO, POD, deny(Target("Service", "shop", "echo"))))
    refusal = plan_opaque(Question(denied, HERE, callee, WEB, lambda: 0.0))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.POLICY_DENIED


@pytest.mark.parametrize(
    ("authority", "resource", "served"),
    [
        (f"{VIP}:80", ECHO, True),
        (f"{ECHO.hostname}:80", ECHO, True),
        (f"{VIP}:80", replace(ECHO, waypoint=None), False),
        (f"{VIP}:80", replace(ECHO, waypoint=GatewayAddress(NamespacedHostname("shop", "second.shop.svc"))), False),
        (f"{VIP}:80", replace(ECHO, waypoint=GatewayAddress(NamespacedHostname("b", "waypoint.b.svc"))), False),
        (f"{VIP}:80", replace(ECHO, waypoint=GatewayAddress(NetworkAddress("", ip_address("10.0.0.1")))), False),
        ("10.244.1.5:8080", POD, False),
        ("10.244.1.5:8080", replace(POD, waypoint=BOUND), True),
    ],
)
def test_only_what_is_bound_here_is_served(authority: str, resource: Service | Workload, served: bool) -> None:
    assert isinstance(resolve(Snapshot.of((resource,)), HERE, authority), Callee if served else Refusal)


@pytest.mark.parametrize(
    ("declared", "routed", "expected"),
    [
        (AppProtocol.HTTP11, False, Speech.HTTP),
        (AppProtocol.HTTP2, False, Speech.HTTP),
        (AppProtocol.GRPC, False, Speech.HTTP),
        (AppProtocol.TCP, False, Speech.OPAQUE),
        (AppProtocol.TCP, True, Speech.OPAQUE),
        (AppProtocol.TLS, False, Speech.OPAQUE),
        (AppProtocol.UNKNOWN, False, Speech.UNDECLARED),
        (AppProtocol.UNKNOWN, True, Speech.HTTP),
    ],
)
def test_what_is_spoken(declared: AppProtocol, routed: bool, expected: Speech) -> None:
    one = replace(ECHO, ports=(Port(80, 8080, declared),))
    snapshot = Snapshot.of((one, route(RouteRule())) if routed else (one,))
    callee = resolve(snapshot, HERE, f"{VIP}:80")
    assert isinstance(callee, Callee)
    assert speech(snapshot, callee) is expected
    assert policies(snapshot, HERE, callee) == ()


@pytest.mark.parametrize(
    ("canonical", "expected"), [(True, {"service"}), (False, {"entry"})], ids=["Service", "ServiceEntry"]
)
def test_a_policy_for_a_service_is_not_for_the_service_entry_of_the_same_name(
    canonical: bool, expected: set[str]
) -> None:
    one = replace(ECHO, canonical=canonical)
    both = [
        Policy(name, "shop", Scope.TARGET, Action.DENY, targets=(Target(kind, "shop", "echo"),))
        for name, kind in (("service", "Service"), ("entry", "ServiceEntry"))
    ]
    snapshot = Snapshot.of((one, *both))
    callee = resolve(snapshot, HERE, f"{VIP}:80")
    assert isinstance(callee, Callee)
    assert {policy.name for policy in policies(snapshot, HERE, callee)} == expected


def test_endpoints_take_turns_by_chance() -> None:
    pods = [endpoint(f"p{number}", f"10.244.4.{number + 1}", ECHO) for number in range(4)]
    rolls = itertools.cycle((0.1, 0.3, 0.6, 0.9))
    found = [ask(ECHO, *pods, roll=next(rolls)) for _ in range(4)]
    assert {one.endpoint.workload.name for one in found if isinstance(one, Forward)} == {"p0", "p1", "p2", "p3"}


def test_an_endpoint_that_failed_lately_is_passed_over_until_its_pause_ends() -> None:
    second = endpoint("echo-2", "10.244.1.6", ECHO)
    snapshot, health, clock = Snapshot.of((ECHO, POD, second)), Health(), [10.0]
    callee = resolve(snapshot, HERE, f"{VIP}:80")
    assert isinstance(callee, Callee)
    rolls = random.Random(3).random
    question = Question(snapshot, HERE, callee, WEB, rolls, health=health, now=lambda: clock[0])

    def chosen() -> set[Workload]:
        found = [plan(question, RequestHead(b"GET", b"echo", b"/")) for _ in range(50)]
        return {one.endpoint.workload for one in found if isinstance(one, Forward)}

    health.failed(POD.uid, clock[0])
    assert chosen() == {second}
    clock[0] = 11.5
    assert chosen() == {POD, second}


def test_a_preflight_is_answered_before_a_backend_is_looked_for() -> None:
    rule = RouteRule(filters=(Cors(origins=("https://shop.example",)),), backends=to(OTHER))
    fields = ((b"origin", b"https://shop.example"), (b"access-control-request-method", b"GET"))
    found = ask(ECHO, route(rule), headers=fields, method=b"OPTIONS")
    assert isinstance(found, Answer)
    assert (found.status, found.refusal) == (204, None)
    assert (b"access-control-allow-origin", b"https://shop.example") in found.headers
    missing = ask(ECHO, route(rule), headers=fields)
    assert isinstance(missing, Answer)
    assert missing.status == 500


def test_a_policy_on_a_header_sees_all_its_lines_and_each_request_anew() -> None:
    condition = Match(headers=(HeaderMatch("x-tenant", TextMatch(TextMatchKind.EXACT, "blue,green")),))
    allow = Policy(
        "p",
        "shop",
        Scope.TARGET,
        Action.ALLOW,
        (Rule((Clause((condition,)),)),),
        targets=(Target("Service", "shop", "echo"),),
    )
    both = ((b"x-tenant", b"blue"), (b"x-other", b"1"), (b"x-tenant", b"green"))
    assert isinstance(ask(ECHO, POD, allow, headers=both), Forward)
    assert isinstance(ask(ECHO, POD, allow, headers=both[:1]), Answer)
    assert isinstance(ask(ECHO, POD, allow), Answer)


def test_what_a_dry_run_would_decide_goes_with_what_is_done() -> None:
    methods = (TextMatch(TextMatchKind.EXACT, "POST"),)
    rules = (Rule((Clause((Match(methods=methods),)),)),)
    targets = (Target("Gateway", HERE.namespace, HERE.name),)
    tried = Policy("no-post", "shop", Scope.TARGET, Action.DENY, rules, dry_run=True, targets=targets)
    posted, got = (ask(ECHO, POD, tried, method=method) for method in (b"POST", b"GET"))
    assert isinstance(posted, Forward)
    assert posted.dry_run == "denied: rule 1 of DENY policy shop/no-post matches"
    assert got.dry_run == "allowed: no ALLOW policy is in force here"
    denied = ask(ECHO, POD, tried, replace(tried, name="enforced", dry_run=False), method=b"POST")
    assert (denied.status, denied.dry_run[:6]) == (403, "denied")
