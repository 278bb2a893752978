"""Whatever the mesh can say survives the wire and the page."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.address import NetworkAddress
from mesh.authentication import ClaimHeader, JwtRule, Place, RequestAuthentication, TokenSource
from mesh.document import (
    authentication_from,
    policy_from,
    route_from,
    service_from,
    snapshot_from,
    to_document,
    traffic_from,
    workload_from,
)
from mesh.policy import (
    Action,
    Authorizer,
    ClaimMatch,
    Clause,
    HeaderMatch,
    Match,
    Policy,
    Rule,
    Scope,
    ServiceAccount,
    Target,
    TextMatch,
    TextMatchKind,
)
from mesh.route import (
    Backend,
    Cors,
    HeaderModifier,
    Mirror,
    PathChange,
    PathMatch,
    PathMatchKind,
    Redirect,
    RequestHeaders,
    ResponseHeaders,
    Retry,
    Rewrite,
    Route,
    RouteKind,
    RouteMatch,
    RouteRule,
    ValueMatch,
)
from mesh.snapshot import Snapshot, key_of
from mesh.traffic import (
    Abort,
    Delay,
    Faults,
    HashOn,
    HashSource,
    LoadBalancing,
    OutlierDetection,
    Rate,
    Share,
    Spread,
    Terms,
    TrafficPolicy,
)
from mesh.workload import (
    ApplicationTunnel,
    AppProtocol,
    Balancing,
    BalancingMode,
    GatewayAddress,
    Locality,
    LocalityScope,
    Membership,
    NamespacedHostname,
    Port,
    Service,
    TunnelProtocol,
    Workload,
)
from mesh.xds import codec
from tests.tokens_for_tests import Issuer

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ips = st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address))
ports = st.integers(0, 65535)


def tuples(each: st.SearchStrategy[object], most: int = 2) -> st.SearchStrategy[tuple]:
    return st.lists(each, max_size=most).map(tuple)


def maybe(each: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | each


network_addresses = st.builds(NetworkAddress, st.sampled_from(["", "east"]), ips)
gateways = st.builds(
    GatewayAddress, st.one_of(network_addresses, st.builds(NamespacedHostname, names, names)), st.integers(1, 65535)
)
port_values = st.builds(Port, ports, ports, st.sampled_from(AppProtocol))
memberships = st.builds(Membership, st.builds("{}/{}".format, names, names), tuples(port_values))
workloads = st.builds(
    Workload,
    uid=names,
    name=names,
    namespace=names,
    service_account=names,
    trust_domain=st.sampled_from(["cluster.local", "example.org"]),
    addresses=tuples(ips),
    hostname=texts,
    network=st.sampled_from(["", "east"]),
    cluster_id=st.sampled_from(["Kubernetes", "other"]),
    node=names,
    locality=st.builds(Locality, texts, texts, texts),
    tunnel=st.sampled_from(TunnelProtocol),
    native_tunnel=st.booleans(),
    application_tunnel=maybe(st.builds(ApplicationTunnel, st.booleans(), ports)),
    waypoint=maybe(gateways),
    network_gateway=maybe(gateways),
    services=st.lists(memberships, max_size=3, unique_by=lambda one: one.service).map(
        lambda found: tuple(sorted(found, key=lambda one: one.service))
    ),
    policies=tuples(names),
    healthy=st.booleans(),
    host_network=st.booleans(),
    capacity=st.integers(0, 2**32 - 1),
    canonical_name=texts,
    canonical_revision=texts,
    workload_name=texts,
    workload_type=st.sampled_from(["deployment", "cronjob", "pod", "job"]),
)
services = st.builds(
    Service,
    name=names,
    namespace=names,
    hostname=names,
    addresses=tuples(network_addresses),
    ports=tuples(port_values),
    subject_alt_names=tuples(texts),
    waypoint=maybe(gateways),
    balancing=st.builds(
        Balancing, tuples(st.sampled_from(LocalityScope), 3), st.sampled_from(BalancingMode), st.booleans()
    ),
    canonical=st.booleans(),
)

text_matches = st.builds(
    TextMatch, st.sampled_from([TextMatchKind.EXACT, TextMatchKind.PREFIX, TextMatchKind.SUFFIX]), texts
) | st.just(TextMatch(TextMatchKind.PRESENCE))
networks = st.builds(
    lambda ip, bits: ip_network((ip, bits % (ip.max_prefixlen + 1)), strict=False), ips, st.integers(0)
)
accounts = st.builds(ServiceAccount, st.one_of(st.just(""), names), names)
LAYER_4 = {
    **dict.fromkeys(("namespaces", "not_namespaces", "principals", "not_principals"), tuples(text_matches)),
    **dict.fromkeys(("source_ips", "not_source_ips", "destination_ips", "not_destination_ips"), tuples(networks)),
    **dict.fromkeys(("destination_ports", "not_destination_ports"), tuples(ports)),
    **dict.fromkeys(("service_accounts", "not_service_accounts"), tuples(accounts)),
}
texts_of_7 = text_matches | st.builds(TextMatch, st.just(TextMatchKind.TEMPLATE), texts)
LAYER_7 = {
    **dict.fromkeys(("methods", "not_methods", "paths", "not_paths", "hosts", "not_hosts"), tuples(texts_of_7)),
    **dict.fromkeys(("request_principals", "not_request_principals"), tuples(texts_of_7)),
    **dict.fromkeys(("claims", "not_claims"), tuples(st.builds(ClaimMatch, tuples(texts), texts_of_7))),
    **dict.fromkeys(("headers", "not_headers"), tuples(st.builds(HeaderMatch, names, texts_of_7))),
}


def rules(matches: st.SearchStrategy[Match]) -> st.SearchStrategy[tuple]:
    return tuples(st.builds(Rule, tuples(st.builds(Clause, tuples(matches)))))


node_policies = st.builds(
    Policy,
    names,
    names,
    st.sampled_from([Scope.GLOBAL, Scope.NAMESPACE, Scope.WORKLOAD_SELECTOR]),
    st.sampled_from([Action.ALLOW, Action.DENY]),
    rules(st.builds(Match, **LAYER_4)),
    st.booleans(),
)
waypoint_policies = st.builds(
    Policy,
    names,
    names,
    st.just(Scope.TARGET),
    st.sampled_from(Action),
    rules(st.builds(Match, **LAYER_4, **LAYER_7)),
    st.booleans(),
    tuples(st.builds(Target, names, st.one_of(st.just(""), names), names)),
    maybe(
        st.builds(Authorizer, names, st.integers(1, 65535), st.floats(0.001, 60), st.booleans(), st.integers(400, 599))
    ),
)

pairs = st.tuples(names, texts)
modifiers = st.builds(HeaderModifier, tuples(pairs), tuples(pairs), tuples(names))
paths = maybe(st.builds(PathChange, texts, st.booleans()))
filters = st.one_of(
    st.builds(RequestHeaders, modifiers),
    st.builds(ResponseHeaders, modifiers),
    st.builds(Redirect, maybe(texts), maybe(texts), paths, maybe(ports), st.integers(300, 399)),
    st.builds(Rewrite, maybe(texts), paths),
    st.builds(Mirror, texts, ports, st.floats(0, 1)),
    st.builds(Cors, tuples(texts), tuples(texts), tuples(texts), tuples(texts), st.booleans(), st.integers(1, 1 << 31)),
)
values = st.builds(ValueMatch, names, texts, st.booleans())
seconds = maybe(st.floats(0, 1e6))
rule_values = st.builds(
    RouteRule,
    tuples(
        st.builds(
            RouteMatch, st.builds(PathMatch, st.sampled_from(PathMatchKind), texts), tuples(values), tuples(values),
            maybe(names),
        )
    ),
    tuples(filters),
    tuples(st.builds(Backend, texts, ports, st.integers(0, 1_000_000), tuples(filters), maybe(texts))),
    seconds,
    seconds,
    maybe(st.builds(Retry, st.integers(1, 100), tuples(st.integers(400, 599)), st.floats(0, 60))),
    texts,
    maybe(texts),
)  # fmt: skip
routes = st.builds(
    Route, names, st.sampled_from(RouteKind), names, names, names, names, maybe(ports), texts, tuples(rule_values)
)
positive = st.integers(1, 1_000_000)
rates = st.builds(Rate, positive, st.floats(0.001, 3600), positive, st.sampled_from(Share))
hashes = st.builds(HashOn, st.sampled_from(HashSource), texts, texts, maybe(st.floats(0, 1e9)))
balancing = st.one_of(
    st.builds(
        LoadBalancing,
        st.sampled_from(sorted({*Spread} - {Spread.CONSISTENT_HASH}, key=str)),
        st.none(),
        st.floats(0, 3600),
    ),
    st.builds(LoadBalancing, st.just(Spread.CONSISTENT_HASH), hashes),
)
percents = st.integers(0, 100)
spans = st.floats(0.001, 3600)
outliers = st.builds(
    OutlierDetection,
    maybe(positive),
    maybe(positive),
    maybe(percents),
    positive,
    spans,
    st.booleans(),
    spans,
    percents,
    percents,
)
parts = st.floats(0, 100)
errors, codes = st.integers(400, 599), st.integers(1, 16)
aborts = st.builds(Abort, errors, maybe(codes), parts) | st.builds(Abort, st.none(), codes, parts)
faults = st.builds(Faults, maybe(st.builds(Delay, spans, parts)), maybe(aborts))
counts = maybe(positive)
terms = st.builds(
    Terms,
    maybe(rates),
    counts,
    counts,
    counts,
    maybe(st.integers(0, 99)),
    maybe(balancing),
    maybe(outliers),
    maybe(faults),
)
traffic = st.builds(TrafficPolicy, names, names, names, terms, texts, names)
key_sets = st.sampled_from(["", Issuer().jwks])
token_sources = st.builds(TokenSource, st.sampled_from(Place), names, texts)
claim_headers = st.builds(ClaimHeader, names, tuples(texts))
jwt_rules = st.builds(
    JwtRule, texts, key_sets, tuples(texts), tuples(token_sources), st.booleans(), texts, tuples(claim_headers),
    tuples(texts),
)  # fmt: skip
targets = st.builds(Target, names, names, names)
authentications = st.builds(RequestAuthentication, names, names, tuples(jwt_rules), tuples(targets))

READ = {
    Workload: workload_from,
    Service: service_from,
    Policy: policy_from,
    Route: route_from,
    TrafficPolicy: traffic_from,
    RequestAuthentication: authentication_from,
}
everything = st.one_of(workloads, services, node_policies, waypoint_policies, routes, traffic, authentications)


@settings(max_examples=150)
@given(everything)
def test_what_is_encoded_is_decoded_to_the_same(value: object) -> None:
    resource = codec.encode(value)
    assert codec.decode(codec.type_of(value), resource.name, resource.body) == value


@settings(max_examples=150)
@given(everything)
def test_what_is_written_to_a_page_is_read_as_the_same(value: object) -> None:
    page = yaml.safe_dump(to_document(value))
    assert READ[type(value)](yaml.safe_load(page)) == value
    assert READ[type(value)](json.loads(json.dumps(to_document(value)))) == value


@settings(max_examples=40)
@given(st.lists(everything, max_size=6, unique_by=lambda one: (type(one), key_of(one))))
def test_a_whole_snapshot_is_read_as_it_was_written(resources: list) -> None:
    snapshot = Snapshot.of(resources)
    assert snapshot_from(to_document(snapshot)) == snapshot


@settings(max_examples=300)
@given(st.sampled_from(["istio.workload.Address", "istio.security.Authorization", "ambit.waypoint.Route",
                        "ambit.waypoint.Policy", "ambit.waypoint.TrafficPolicy",
                        "ambit.authentication.RequestAuthentication"]), st.binary(max_size=60))  # fmt: skip
def test_noise_is_rejected_and_raises_nothing(name: str, noise: bytes) -> None:
    codec.decode(f"type.googleapis.com/{name}", "some-name", noise)


@given(everything, st.data())
def test_a_damaged_resource_is_rejected_or_means_something(value: object, data: st.DataObject) -> None:
    body = bytearray(codec.encode(value).body)
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    found = codec.decode(codec.type_of(value), key_of(value), bytes(body))
    assert isinstance(found, codec.Rejection) or key_of(found) == key_of(value)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "workload: a mapping is needed"),
        ({"uid": "a", "name": "a"}, "namespace is missing"),
        ({"uid": "a", "name": "a", "namespace": "b", "colour": 1}, "unknown field 'colour'"),
        ({"uid": "a", "name": "a", "namespace": "b", "capacity": True}, "workload.capacity: a whole number"),
        ({"uid": "a", "name": "a", "namespace": "b", "addresses": ["10.0.0"]}, r"workload.addresses\[0\]"),
        ({"uid": "a", "name": "a", "namespace": "b", "tunnel": "wormhole"}, "workload.tunnel"),
        ({"uid": "a", "name": "a", "namespace": "b", "waypoint": {"service": "x"}}, "workload.waypoint"),
    ],
)
def test_a_wrong_page_says_where_it_is_wrong(document: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        workload_from(document)
