"""A snapshot that came by edits answers as one built anew, and whom an edit does not concern need not look.

The universe is small, so that resources often share addresses, services, gateways and names.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import example, given
from hypothesis import strategies as st

from mesh.address import NetworkAddress
from mesh.policy import Action, Policy, Scope
from mesh.route import Route, RouteKind
from mesh.snapshot import Change, Drop, Put, Snapshot
from mesh.workload import GatewayAddress, Membership, NamespacedHostname, Service, Workload
from ztunnel.supervisor.share import share
from ztunnel.supervisor.sight import Sight, touched

NAMES = ("a", "b", "c")
IPS = tuple(map(IPv4Address, ("10.0.0.1", "10.0.0.2", "10.0.0.3")))
KEYS = tuple(f"{namespace}/{name}" for namespace in NAMES for name in NAMES)

names, ips, keys = st.sampled_from(NAMES), st.sampled_from(IPS), st.sampled_from(KEYS)
addresses = ips.map(lambda ip: NetworkAddress("", ip))
gateways = st.none() | st.builds(
    GatewayAddress, addresses | st.builds(NamespacedHostname, names, names), st.just(15008)
)  # fmt: skip
workloads = st.builds(
    Workload,
    names,
    names,
    names,
    addresses=st.lists(ips, max_size=2, unique=True).map(tuple),
    services=st.lists(st.builds(Membership, keys), max_size=2).map(tuple),
    policies=st.lists(keys, max_size=2).map(tuple),
    waypoint=gateways,
    host_network=st.booleans(),
)
services = st.builds(
    Service, names, names, names, st.lists(addresses, max_size=2).map(tuple), waypoint=gateways, canonical=st.booleans()
)
policies = st.builds(Policy, names, names, st.sampled_from(Scope), st.just(Action.DENY))
routes = st.builds(Route, keys, st.sampled_from(RouteKind), names, names, keys, names)
drops = st.builds(Drop, st.just(Workload), names) | st.builds(Drop, st.sampled_from((Service, Policy, Route)), keys)
edits = st.lists(st.builds(Put, workloads | services | policies | routes) | drops, max_size=4)
histories = st.lists(edits, max_size=6)


def answers(snapshot: Snapshot) -> list[object]:
    """Everything that can be asked, but for the order among many."""
    return [
        *(snapshot.workload_at("", ip) for ip in IPS),
        *(snapshot.service_at("", ip) for ip in IPS),
        *(snapshot.service_named(name, other) for name in NAMES for other in NAMES),
        *(sorted(snapshot.endpoints(key), key=lambda one: one.uid) for key in KEYS),
        *(sorted(snapshot.routes_of(key), key=lambda one: one.key) for key in KEYS),
        *(sorted(snapshot.policies_for(one), key=lambda one: one.key) for _, one in sorted(snapshot.workloads.items())),
    ]


@given(histories)
@example(
    [[Put(Workload("b", "a", "a")), Put(Policy("a", "a", Scope.NAMESPACE, Action.DENY)), Put(Workload("a", "a", "b"))]]
)
def test_edited_and_built_anew_are_one(history: list[list[Change]]) -> None:
    edited = Snapshot()
    for changes in history:
        edited = edited.apply(changes)
        anew = Snapshot.of(edited.resources())
        assert edited == anew
        assert answers(edited) == answers(anew)


@given(histories, edits, names, st.lists(ips, unique=True))
def test_what_an_edit_does_not_touch_it_does_not_change(history, changes, uid, asked) -> None:
    before = Snapshot()
    for former in history:
        before = before.apply(former)
    after = before.apply(changes)
    sight = Sight(before, uid)
    held = share(sight, before.workloads.get(uid), "", asked)
    if sight.concerns.isdisjoint(touched(before, changes)):
        assert share(Sight(after, uid), after.workloads.get(uid), "", asked) == held
