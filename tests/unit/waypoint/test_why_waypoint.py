"""What a waypoint says it would do with a request: the policy, the rule and the backend, and why not the others."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import urlencode

from mesh.authentication import JwtRule, Place, RequestAuthentication, TokenSource
from mesh.policy import Action, Authorizer, Clause, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.route import PathMatch, PathMatchKind, Redirect, RouteMatch, RouteRule, ValueMatch
from mesh.snapshot import Put, Snapshot
from mesh.traffic import Abort, Delay, Faults, HashOn, HashSource, LoadBalancing, Rate, Spread, Terms, TrafficPolicy
from mesh.why import Explanation, Outcome
from mesh.workload import AppProtocol, Port
from tests.tokens_for_tests import Issuer
from tests.unit.waypoint.test_waypoint_plan import ECHO, OTHER, POD, TOURIST, WEB, route, to, under
from tests.waypoint_ends import HERE, VIP
from waypoint.callee import Callee, resolve
from waypoint.http.events import RequestHead
from waypoint.inquiry import why
from waypoint.plan import Caller, Question
from waypoint.state import State
from waypoint.why import requested

NO_POST = Policy(
    "no-post", "shop", Scope.TARGET, Action.DENY,
    (Rule((Clause((Match(methods=(TextMatch(TextMatchKind.EXACT, "POST"),)),)),)),),
    targets=(Target("Gateway", HERE.namespace, HERE.name),),
)  # fmt: skip


def explain(*resources: object, path: str = "/", method: bytes = b"GET", caller: Caller = WEB) -> Explanation:
    snapshot = Snapshot.of(resources)  # type: ignore[arg-type]
    callee = resolve(snapshot, HERE, f"{VIP}:80")
    assert isinstance(callee, Callee), callee
    question = Question(snapshot, HERE, callee, caller, lambda: 0.0)
    return requested(question, RequestHead(method, b"echo", path.encode(), ends=True))


def of(subject: str, explanation: Explanation) -> list[tuple[str, str]]:
    return [(step.outcome.value, step.text) for step in explanation.steps if step.subject == subject]


def test_the_rule_that_is_followed_and_what_keeps_each_other_from_it():
    rules = (
        RouteRule(under("/a"), backends=to(ECHO), name="first"),
        RouteRule((RouteMatch(headers=(ValueMatch("x-canary", "yes"),)),), backends=to(OTHER)),
        RouteRule((RouteMatch(method="PUT"),), backends=to(OTHER)),
        RouteRule((RouteMatch(query=(ValueMatch("v", "2"),)),), backends=to(OTHER)),
        RouteRule((RouteMatch(),), backends=to(ECHO)),
    )
    found = explain(ECHO, OTHER, POD, route(*rules), path="/a/b?v=1")
    assert of("route", found) == [
        ("yes", "rule 1 (first) of HTTPRoute shop/r is followed: path prefix /a holds"),
        ("beside", "rule 2 of HTTPRoute shop/r: header x-canary=yes is missing"),
        ("beside", "rule 3 of HTTPRoute shop/r: method GET is not PUT"),
        ("beside", "rule 4 of HTTPRoute shop/r: parameter v=2 is wanted, not '1'"),
        ("beside", "rule 5 of HTTPRoute shop/r: matches, but another rule is more specific or older"),
    ]
    assert [(hop.address, hop.target) for hop in found.hops] == [("10.244.1.5:15008", "10.244.1.5:8080")]


def test_no_rule_at_all_is_told_with_what_each_of_them_wants():
    found = explain(ECHO, POD, route(RouteRule(under("/a"), backends=to(ECHO))), path="/b")
    assert of("route", found) == [("beside", "rule 1 of HTTPRoute shop/r: path /b is not prefix /a")]
    assert of("answer", found)[0][0] == "no"
    assert of("answer", found)[0][1].startswith("404, no-route")
    assert not found.hops


def test_a_consumers_route_is_for_its_own_namespace():
    theirs = route(RouteRule(backends=to(ECHO)), namespace="abroad", name="theirs")
    assert of("route", explain(ECHO, POD, theirs)) == [
        ("beside", "HTTPRoute abroad/theirs does not speak for callers of shop")
    ]
    assert of("route", explain(ECHO, POD, theirs, caller=TOURIST))[0][0] == "yes"


def test_a_policy_that_denies_ends_it_there():
    assert of("policy", explain(ECHO, POD, NO_POST)) == [
        ("beside", "DENY policy shop/no-post does not match (rule 1: methods)"),
        ("yes", "allowed: no ALLOW policy is in force here"),
    ]
    denied = explain(ECHO, POD, NO_POST, method=b"POST")
    assert denied.steps[-1].outcome is Outcome.NO
    assert "rule 1 of DENY policy shop/no-post matches" in denied.steps[-1].text
    assert not denied.hops


def test_shares_of_backends_are_told_and_what_is_broken_among_them():
    backends = (*to(ECHO, weight=3), replace(to(OTHER)[0], broken="no such service"))
    found = explain(ECHO, POD, route(RouteRule(backends=backends)))
    assert [text for _, text in of("backend", found)] == [
        f"3 of 4 requests go to {ECHO.key} port 80",
        f"1 of 4 requests go to {OTHER.key} port 80: no such service, so they get 500",
    ]


def test_a_redirect_is_an_answer_and_no_failure():
    rule = RouteRule((RouteMatch(PathMatch(PathMatchKind.EXACT, "/old")),), (Redirect(host="new.example", status=301),))
    found = explain(ECHO, POD, route(rule), path="/old")
    assert of("answer", found) == [("yes", "301 by the waypoint itself, to http://new.example/old")]


def test_an_opaque_port_is_judged_as_a_connection():
    opaque = replace(ECHO, ports=(Port(80, 8080, AppProtocol.TCP),))
    found = explain(opaque, POD)
    assert "opaque" in found.steps[0].text
    assert [hop.target for hop in found.hops] == ["10.244.1.5:8080"]
    denied = explain(opaque, POD, NO_POST)
    assert denied.steps[-1].outcome is Outcome.NO, "what cannot be checked never widens access"


def test_the_page_answers_in_json_that_can_be_read_back():
    state = State()
    state.apply([Put(ECHO), Put(POD), Put(NO_POST)])
    asked = {"peer": str(WEB.identity), "source": str(WEB.ip), "authority": f"{VIP}:80", "method": "POST",
             "path": "/", "host": "echo", "header": "x-a: 1"}  # fmt: skip
    page = why(state, HERE, urlencode(asked))
    assert page.status == 200
    assert Explanation.read(json.loads(page.body)) == explain(ECHO, POD, NO_POST, method=b"POST")
    stranger = why(state, HERE, urlencode(asked | {"authority": "10.0.0.1:80"}))
    assert Explanation.read(json.loads(stranger.body)).steps[-1].outcome is Outcome.NO
    for missing, text in (("peer", b"lacks peer="), ("path", b"lacks path=")):
        page = why(state, HERE, urlencode({name: value for name, value in asked.items() if name != missing}))
        assert (page.status, text in page.body) == (400, True)
    assert why(state, HERE, urlencode(asked | {"header": "x"})).status == 400


def test_what_the_service_takes_is_told() -> None:
    policy = TrafficPolicy(ECHO.key, "shop", "calm", Terms(Rate(10, 60.0, 10), 3, 9, 8, 7))
    assert [text for _, text in of("limit", explain(ECHO, POD, policy))] == [
        "TrafficPolicy shop/calm takes 10 requests in 60 s of each caller",
        "TrafficPolicy shop/calm takes 3 requests at a time",
        "TrafficPolicy shop/calm allows 9 connections at a time",
        "TrafficPolicy shop/calm allows 8 waiting requests at a time",
        "TrafficPolicy shop/calm allows 7 retries at a time",
    ]
    assert of("limit", explain(ECHO, POD)) == []


def test_how_requests_are_spread_is_told() -> None:
    balancing = LoadBalancing(Spread.CONSISTENT_HASH, HashOn(HashSource.HEADER, "x-user"))
    policy = TrafficPolicy(ECHO.key, "shop", "calm", Terms(balancing=balancing))
    assert [text for _, text in of("balancing", explain(ECHO, POD, policy))] == [
        "TrafficPolicy shop/calm spreads requests by ConsistentHash of header x-user"
    ]


def test_wanted_faults_are_told() -> None:
    policy = TrafficPolicy(ECHO.key, "shop", "chaos", Terms(faults=Faults(Delay(2.0, 10.0), Abort(503, percent=1.0))))
    assert [text for _, text in of("fault", explain(ECHO, POD, policy))] == [
        "TrafficPolicy shop/chaos aborts 1 % of requests",
        "TrafficPolicy shop/chaos holds 10 % of requests back for 2 s",
    ]


def test_an_authorizer_is_named_and_not_asked():
    whom = Authorizer("shop/authz.shop.svc.cluster.local", 9000)
    found = explain(ECHO, POD, replace(NO_POST, action=Action.CUSTOM, authorizer=whom), method=b"POST")
    assert of("policy", found) == [
        ("yes", "CUSTOM policy shop/no-post matches"),
        (
            "yes",
            f"allowed if authorizer {whom.service}:9000 agrees, which was not asked: no ALLOW policy is in force here",
        ),
    ]
    assert found.hops


def test_a_token_is_told_of_by_whom_it_names_and_never_shown():
    issuer = Issuer()
    source = TokenSource(Place.HEADER, "authorization", "Bearer ")
    rule = JwtRule("https://issuer.example", issuer.jwks, sources=(source,))
    snapshot = Snapshot.of(
        [ECHO, POD, RequestAuthentication("jwt", "shop", (rule,), (Target("Service", "shop", "echo"),))]
    )
    callee = resolve(snapshot, HERE, f"{VIP}:80")
    assert isinstance(callee, Callee), callee
    question = Question(snapshot, HERE, callee, WEB, lambda: 0.0)
    for text, outcome in ((issuer.jwt(), "a token of https://issuer.example is valid"), (Issuer().jwt(), "401")):
        bearer = ((b"authorization", b"Bearer " + text.encode()),)
        page = str(requested(question, RequestHead(b"GET", b"echo", b"/", bearer, ends=True)).document())
        assert outcome in page
        assert text not in page
