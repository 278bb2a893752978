"""Authorization from manifest to verdict: more DENY never means more access, and neither does seeing less."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from istiod_lite import facts
from istiod_lite.compile import Settings, compile_world
from istiod_lite.object import Object, ObjectKey
from istiod_lite.world import World
from mesh.address import Address
from mesh.identity import Identity
from mesh.verdict import Call, HttpCall, authorize

NAMESPACES, ACCOUNTS, METHODS, PATHS = ("shop", "bank"), ("web", "cart"), ("GET", "POST"), ("/", "/admin", "/api/x")
IPS, PORTS, HOSTS = ("10.0.0.1", "10.0.1.1"), ("80", "8080"), ("cart", "cart.shop:80")


def some(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


PRINCIPALS = [f"cluster.local/ns/{namespace}/sa/{account}" for namespace in NAMESPACES for account in ACCOUNTS]
SOURCE = {
    "principals": some("*", "cluster.local/ns/shop/*", "*/sa/web", *PRINCIPALS),
    "namespaces": some("*", "sh*", "*nk", *NAMESPACES),
    "ipBlocks": some("10.0.0.0/24", *IPS),
    "requestPrincipals": some("*", "https://issuer.example/*", "*/ann"),
}
OPERATION = {
    "ports": some(*PORTS),
    "methods": some("*", *METHODS),
    "paths": some("/admin*", "*x", "/api/{*}", "/{**}", *PATHS),
    "hosts": some("cart", "*:80", "*"),
}


HEADERS = st.sampled_from(((), (("x", "y"),), (("x", "yes"),)))


CLAIMS = st.sampled_from(((), ((("aud",), ("a",)),), ((("realm", "roles"), ("b", "c")),)))


def negated(name: str) -> str:
    return f"not{name[0].upper()}{name[1:]}"


def term(attributes: dict[str, Any]) -> st.SearchStrategy[dict[str, list[str]]]:
    """Some of the attributes, each as it is or negated."""
    both = attributes | {negated(name): values for name, values in attributes.items()}
    entry = st.sampled_from(sorted(both)).flatmap(lambda name: st.tuples(st.just(name), both[name]))
    return st.lists(entry, min_size=1, max_size=3).map(dict)


CONDITION = st.one_of(
    st.fixed_dictionaries({"key": st.just("source.ip"), "notValues": some(*IPS)}),
    st.fixed_dictionaries({"key": st.just("destination.port"), "values": some(*PORTS)}),
    st.fixed_dictionaries({"key": st.just("request.headers[x]"), "values": some("y", "y*")}),
    st.fixed_dictionaries({"key": st.just("request.headers[X]"), "notValues": some("y", "*")}),
    st.fixed_dictionaries({"key": st.just("remote.ip"), "values": some(*IPS)}),
    st.fixed_dictionaries({"key": st.just("request.auth.claims[realm][roles]"), "values": some("a", "b*")}),
    st.fixed_dictionaries({"key": st.just("request.auth.audiences"), "notValues": some("a", "*")}),
)
RULE = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(term(SOURCE).map(lambda one: {"source": one}), min_size=1, max_size=2),
        "to": st.lists(term(OPERATION).map(lambda one: {"operation": one}), min_size=1, max_size=2),
        "when": st.lists(CONDITION, min_size=1, max_size=2),
    },
)


def specs(*actions: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"action": st.sampled_from(actions), "rules": st.lists(RULE, max_size=2)})


CALLS = st.builds(
    Call,
    st.none() | st.builds(Identity, st.just("cluster.local"), st.sampled_from(NAMESPACES), st.sampled_from(ACCOUNTS)),
    st.sampled_from(IPS).map(ip_address),
    st.builds(Address, st.just(ip_address("10.0.9.9")), st.sampled_from(PORTS).map(int)),
    st.builds(
        HttpCall,
        st.sampled_from(METHODS),
        st.sampled_from(PATHS),
        st.sampled_from(HOSTS),
        HEADERS,
        st.sampled_from(("", "https://issuer.example/ann")),
        CLAIMS,
    ),
)
ANY = specs("ALLOW", "DENY", "CUSTOM")


def compiled(written: list[dict[str, Any]], **spec: Any) -> list[Any]:
    """The policies that these specs become; `spec` is put into each."""
    read = []
    for number, one in enumerate(written):
        name = f"p{number}"
        body = {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": one | spec,
        }
        key = ObjectKey("security.istio.io", "AuthorizationPolicy", "shop", name)
        fact = facts.read(Object(key, "a.yaml", 1, body))
        assert not isinstance(fact, list), [str(problem) for problem in fact]
        read.append(fact)
    return list(compile_world(World.of(read), Settings()).policies.values())


TARGET = [{"group": "", "kind": "Service", "name": "cart"}]


@given(st.lists(ANY, max_size=3), specs("DENY", "CUSTOM"), CALLS)
def test_another_denial_never_widens_access(written, denial, call):
    for spec in ({}, {"targetRefs": TARGET}):
        after = authorize(compiled([*written, denial], **spec), call)
        assert not after.allowed or authorize(compiled(written, **spec), call).allowed


@given(st.lists(ANY, max_size=3), CALLS)
def test_who_sees_less_allows_no_more(written, call):
    """What ztunnel lets pass would also have passed a waypoint that reads the whole request."""
    blind = authorize(compiled(written), Call(call.identity, call.source, call.destination))
    assert not blind.allowed or authorize(compiled(written, targetRefs=TARGET), call).allowed


@given(st.lists(ANY, min_size=1, max_size=3), CALLS, st.randoms(use_true_random=False))
def test_the_order_of_policies_does_not_matter(written, call, shuffler):
    policies = compiled(written)
    verdict = authorize(policies, call).allowed
    shuffler.shuffle(policies)
    assert authorize(policies, call).allowed is verdict
