"""Policies and who gets in: adding DENY never lets anybody in, taking it away never shuts anybody out."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from mesh.address import Address
from mesh.identity import Identity
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, TextMatch, TextMatchKind
from mesh.snapshot import Snapshot
from mesh.workload import TunnelProtocol, Workload
from ztunnel.admit import Admission, Arrival, admit

OWN = Workload(
    "Kubernetes//Pod/shop/db", "db", "shop", addresses=(ip_address("10.0.0.2"),), tunnel=TunnelProtocol.HBONE,
    policies=("shop/a", "shop/b"),
)  # fmt: skip
NAMES = st.sampled_from(["shop", "web", "cart"])
TEXTS = st.builds(TextMatch, st.sampled_from(list(TextMatchKind)), NAMES)
SOME = st.lists(TEXTS, max_size=2).map(tuple)
NETWORKS = st.lists(st.sampled_from([ip_network("10.0.0.0/8"), ip_network("10.0.0.1/32")]), max_size=1).map(tuple)
PORTS = st.lists(st.sampled_from([8080, 9090]), max_size=2).map(tuple)
MATCHES = st.builds(
    Match, namespaces=SOME, not_namespaces=SOME, principals=SOME, not_principals=SOME, source_ips=NETWORKS,
    destination_ports=PORTS, not_destination_ports=PORTS,
)  # fmt: skip
RULES = st.lists(
    st.builds(Rule, st.lists(st.builds(Clause, st.lists(MATCHES, max_size=2).map(tuple)), max_size=2).map(tuple)),
    max_size=2,
).map(tuple)


def policies(actions: list[Action], names: str) -> st.SearchStrategy[list[Policy]]:
    scopes = st.sampled_from([Scope.GLOBAL, Scope.NAMESPACE, Scope.WORKLOAD_SELECTOR])
    one = st.builds(Policy, st.sampled_from(names), st.just("shop"), scopes, st.sampled_from(actions), RULES)
    return st.lists(one, max_size=3)


ARRIVALS = st.builds(
    Arrival,
    st.none() | st.builds(Identity, st.just("cluster.local"), NAMES, NAMES),
    st.sampled_from([ip_address("10.0.0.1"), ip_address("192.0.2.1")]),
    st.just(Address.parse("10.0.0.2:15008")),
    st.sampled_from(["10.0.0.2:8080", "10.0.0.2:9090"]),
)


@given(ARRIVALS, policies([Action.ALLOW, Action.DENY], "abc"), policies([Action.DENY], "xyz"))
def test_adding_deny_never_widens(arrival, present, added):
    before = admit(Snapshot.of((OWN, *present)), OWN, arrival)
    after = admit(Snapshot.of((OWN, *present, *added)), OWN, arrival)
    assert isinstance(before, Admission) or not isinstance(after, Admission)
