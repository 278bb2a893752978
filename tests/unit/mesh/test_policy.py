"""Authorization at layers 4 and 7: one call, some policies, the verdict."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mesh.address import Address
from mesh.identity import Identity
from mesh.policy import (
    Action,
    Authorizer,
    Clause,
    HeaderMatch,
    Match,
    Policy,
    Rule,
    Scope,
    ServiceAccount,
    TextMatch,
    TextMatchKind,
)
from mesh.verdict import Call, HttpCall, authorize, headers_asked

WEB = Identity("cluster.local", "shop", "web")
CALL = Call(WEB, ip_address("10.244.1.5"), Address(ip_address("10.244.2.7"), 8080))
GET = HttpCall("GET", "/items/1", "Catalog.shop:8080", (("x-tenant", "blue"), ("x-tiers", "a,b")))


def exact(*values: str) -> tuple[TextMatch, ...]:
    return tuple(TextMatch(TextMatchKind.EXACT, value) for value in values)


def header(name: str, *values: str) -> tuple[HeaderMatch, ...]:
    return tuple(HeaderMatch(name, one) for one in exact(*values))


def when(**conditions: object) -> Rule:
    return Rule((Clause((Match(**conditions),)),))  # type: ignore[arg-type]


def policy(action: Action, *rules: Rule, name: str = "p") -> Policy:
    return Policy(name, "shop", Scope.NAMESPACE, action, rules)


def test_without_policies_a_call_is_allowed() -> None:
    assert authorize([], CALL).allowed


def test_an_allow_policy_admits_whom_it_names_and_nobody_else() -> None:
    allow = policy(Action.ALLOW, when(principals=exact("cluster.local/ns/shop/sa/web")))
    assert authorize([allow], CALL).policy == "shop/p"
    stranger = replace(CALL, identity=Identity("cluster.local", "out", "intruder"))
    verdict = authorize([allow], stranger)
    assert not verdict.allowed
    assert "shop/p" in verdict.why
    assert not authorize([allow], replace(CALL, identity=None)).allowed


def test_deny_wins_over_allow() -> None:
    allow = policy(Action.ALLOW, when(namespaces=exact("shop")), name="allow")
    deny = policy(Action.DENY, when(destination_ports=(8080,)), name="deny")
    verdict = authorize([allow, deny], CALL)
    assert (verdict.allowed, verdict.policy) == (False, "shop/deny")


def test_a_dry_run_policy_decides_nothing() -> None:
    deny = replace(policy(Action.DENY, Rule()), dry_run=True)
    assert authorize([deny], CALL).allowed


def test_an_audit_policy_is_named_where_it_matches_and_decides_nothing() -> None:
    audit = policy(Action.AUDIT, Rule())
    found = authorize([audit], CALL)
    assert (found.allowed, found.policy, found.audit) == (True, None, audit.key)
    assert authorize([policy(Action.AUDIT)], CALL).audit == ""
    denied = authorize([audit, replace(policy(Action.DENY, Rule()), name="no")], CALL)
    assert (denied.allowed, denied.audit) == (False, audit.key)


def test_what_a_dry_run_would_decide_is_told_beside_the_verdict() -> None:
    deny, allow = policy(Action.DENY, Rule()), policy(Action.ALLOW)
    assert authorize([replace(deny, dry_run=True)], CALL).dry_run == f"denied: rule 1 of DENY policy {deny.key} matches"
    tried = authorize([replace(allow, dry_run=True)], CALL)
    assert tried.allowed
    assert tried.dry_run.startswith("denied: no rule of the ALLOW policies in force matches")
    loosened = authorize([allow, replace(policy(Action.ALLOW, Rule()), dry_run=True)], CALL)
    assert not loosened.allowed
    assert loosened.dry_run.startswith("allowed: rule 1 of ALLOW policy")
    assert authorize([deny], CALL).dry_run == ""


@pytest.mark.parametrize(
    ("rules", "matches"),
    [
        ((), False),
        ((Rule(),), True),
        ((Rule((Clause(),)),), True),
        ((Rule((Clause((Match(),)),)),), False),
        ((Rule((Clause((Match(), Match(destination_ports=(8080,)))),)),), True),
        ((Rule((Clause((Match(destination_ports=(8080,)),)), Clause((Match(destination_ports=(1,)),)))),), False),
    ],
)
def test_what_empty_parts_of_a_policy_mean(rules: tuple[Rule, ...], matches: bool) -> None:
    assert authorize([policy(Action.DENY, *rules)], CALL).allowed is not matches


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ({"namespaces": exact("shop")}, True),
        ({"namespaces": exact("other")}, False),
        ({"not_namespaces": exact("shop")}, False),
        ({"not_namespaces": exact("other")}, True),
        ({"principals": (TextMatch(TextMatchKind.PREFIX, "cluster.local/ns/shop/"),)}, True),
        ({"principals": (TextMatch(TextMatchKind.SUFFIX, "/sa/web"),)}, True),
        ({"principals": (TextMatch(TextMatchKind.PRESENCE),)}, True),
        ({"not_principals": (TextMatch(TextMatchKind.PRESENCE),)}, False),
        ({"service_accounts": (ServiceAccount("shop", "web"),)}, True),
        ({"service_accounts": (ServiceAccount("", "web"),)}, True),
        ({"service_accounts": (ServiceAccount("other", "web"),)}, False),
        ({"not_service_accounts": (ServiceAccount("", "web"),)}, False),
        ({"source_ips": (ip_network("10.244.1.0/24"),)}, True),
        ({"source_ips": (ip_network("fd00::/8"),)}, False),
        ({"not_source_ips": (ip_network("10.0.0.0/8"),)}, False),
        ({"destination_ips": (ip_network("10.244.2.7/32"),)}, True),
        ({"not_destination_ips": (ip_network("10.244.2.7/32"),)}, False),
        ({"destination_ports": (80, 8080)}, True),
        ({"not_destination_ports": (8080,)}, False),
        ({"namespaces": exact("shop"), "destination_ports": (1,)}, False),
    ],
)
def test_each_condition_of_layer_4(conditions: dict[str, object], matches: bool) -> None:
    assert authorize([policy(Action.DENY, when(**conditions))], CALL).allowed is not matches


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ({"methods": exact("GET")}, True),
        ({"methods": exact("POST")}, False),
        ({"not_methods": exact("GET")}, False),
        ({"paths": (TextMatch(TextMatchKind.PREFIX, "/items/"),)}, True),
        ({"paths": exact("/items")}, False),
        ({"not_paths": exact("/items/1")}, False),
        ({"hosts": exact("catalog.shop")}, True),
        ({"hosts": exact("CATALOG.shop:8080")}, True),
        ({"hosts": exact("catalog.shop:9090")}, False),
        ({"not_hosts": exact("catalog.shop")}, False),
        ({"headers": header("x-tenant", "blue")}, True),
        ({"headers": header("x-tenant", "red", "blue")}, True),
        ({"headers": header("x-tenant", "red")}, False),
        ({"headers": header("x-missing", "blue")}, False),
        ({"headers": (HeaderMatch("x-missing", TextMatch(TextMatchKind.PRESENCE)),)}, False),
        ({"headers": header("x-tiers", "a,b")}, True),
        ({"not_headers": header("x-tenant", "blue")}, False),
        ({"not_headers": header("x-missing", "blue")}, True),
    ],
)
def test_each_condition_of_layer_7(conditions: dict[str, object], matches: bool) -> None:
    call = replace(CALL, http=GET)
    assert authorize([policy(Action.DENY, when(**conditions))], call).allowed is not matches


@pytest.mark.parametrize(
    "conditions", [{"methods": exact("GET")}, {"not_methods": exact("GET")}, {"hosts": exact("x")}]
)
def test_a_condition_that_cannot_be_checked_never_widens_access(conditions: dict[str, object]) -> None:
    """A TCP connection meets a policy with HTTP conditions: DENY denies, ALLOW does not allow."""
    assert not authorize([policy(Action.DENY, when(**conditions))], CALL).allowed
    assert not authorize([policy(Action.ALLOW, when(**conditions))], CALL).allowed


@pytest.mark.parametrize(
    ("template", "path", "holds"),
    [
        ("/items/{*}", "/items/1", True),
        ("/items/{*}", "/items/", False),
        ("/items/{*}", "/items/1/2", False),
        ("/items/{*}/price", "/items/1/price", True),
        ("/items/{*}/price", "/items/1/2/price", False),
        ("/{*}/{*}", "/items/1", True),
        ("/{**}", "/", True),
        ("/{**}", "/items/1", True),
        ("/items/{**}/price", "/items/1/2/price", True),
        ("/items/{*}/{**}", "/items/1/2/3", True),
        ("/items/{*}/{**}", "/items/1", False),
        ("/a.b/{*}", "/a.b/c", True),
        ("/a.b/{*}", "/axb/c", False),
        ("/a|.*/{*}", "/secret", False),
        ("/(a+)+$/{*}", "/(a+)+$/b", True),
    ],
)
def test_templates_of_paths(template: str, path: str, holds: bool) -> None:
    assert TextMatch(TextMatchKind.TEMPLATE, template).holds(path) is holds


def test_which_headers_policies_ask_for() -> None:
    asking = policy(Action.ALLOW, when(headers=header("x-a", "1"), not_headers=header("x-b", "1")))
    assert headers_asked([asking, policy(Action.DENY, when(methods=exact("GET")))]) == {"x-a", "x-b"}


def test_a_connection_about_which_no_authorizer_is_asked_is_denied_where_it_would_have_to_be() -> None:
    rule = Rule((Clause((Match(paths=(TextMatch(TextMatchKind.EXACT, "/private"),)),)),))
    asking = Policy("ask", "shop", Scope.TARGET, Action.CUSTOM, (rule,), authorizer=Authorizer("shop/authz", 9000))
    here = Address(ip_address("10.0.0.1"), 80)
    opaque = Call(None, ip_address("10.0.0.2"), here)
    assert not authorize((asking,), opaque).allowed
    asked = authorize((asking,), replace(opaque, http=HttpCall("GET", "/private", "echo")))
    assert (asked.allowed, asked.ask, asked.asked_by) == (True, asking.authorizer, "shop/ask")
    assert authorize((asking,), replace(opaque, http=HttpCall("GET", "/", "echo"))).ask is None
