from __future__ import annotations

from dataclasses import replace

from istiod_lite.compile import Settings
from istiod_lite.publish import Publication, publish
from mesh.policy import Action, Policy, Scope, Target
from mesh.route import Route, RouteKind
from mesh.snapshot import Resource, Snapshot
from mesh.workload import GatewayAddress, NamespacedHostname, Service, Workload
from mesh.xds.resource import ADDRESS, AUTHORIZATION, WAYPOINT_POLICY, WAYPOINT_ROUTE


def service(name: str, waypoint: str = "") -> Service:
    at = GatewayAddress(NamespacedHostname("shop", f"{waypoint}.shop.svc.cluster.local")) if waypoint else None
    return Service(name, "shop", f"{name}.shop.svc.cluster.local", waypoint=at)


def route(of: str) -> Route:
    return Route(of, RouteKind.HTTP, "shop", of, f"shop/{of}.shop.svc.cluster.local", "shop")


def policy(name: str, *targets: Target) -> Policy:
    return Policy(name, "shop", Scope.TARGET if targets else Scope.NAMESPACE, Action.DENY, targets=targets)


def published(*resources: Resource, before: Publication | None = None) -> Publication:
    return publish(Snapshot.of(resources), before or Publication(), Settings().service_key)


def seen(publication: Publication, type_url: str, reader: str | None) -> set[str]:
    shelf = publication.catalog[type_url]
    return {name for name, one in shelf.resources.items() if one.seen_by(reader)}


def test_a_waypoint_sees_the_routes_of_the_services_it_serves() -> None:
    now = published(
        service("web", "ours"), service("bank", "theirs"), service("bare"), *map(route, ["web", "bank", "bare"])
    )
    assert seen(now, WAYPOINT_ROUTE, "shop/ours") == {"web"}
    assert seen(now, WAYPOINT_ROUTE, "shop/theirs") == {"bank"}
    assert seen(now, WAYPOINT_ROUTE, None) == set()


def test_a_waypoint_sees_policies_for_itself_for_its_services_and_for_all_waypoints() -> None:
    now = published(
        service("web", "ours"),
        service("bank", "theirs"),
        policy("gate", Target("Gateway", "shop", "ours")),
        policy("web", Target("Service", "shop", "web")),
        policy("bank", Target("Service", "shop", "bank")),
        policy("lost", Target("Service", "shop", "nobody")),
        policy("class", Target("GatewayClass", "", "istio-waypoint")),
        policy("nodes"),
    )
    assert seen(now, WAYPOINT_POLICY, "shop/ours") == {"shop/gate", "shop/web", "shop/class"}
    assert seen(now, WAYPOINT_POLICY, "shop/theirs") == {"shop/bank", "shop/class"}
    assert seen(now, AUTHORIZATION, None) == {"shop/nodes"}


def test_a_policy_for_a_service_entry_goes_to_the_waypoints_of_its_hosts_and_not_of_its_namesake() -> None:
    host = replace(service("web", "theirs"), hostname="web.example.com")
    namesake = replace(service("web", "ours"), canonical=True)
    now = published(host, namesake, policy("p", Target("ServiceEntry", "shop", "web")))
    assert seen(now, WAYPOINT_POLICY, "shop/theirs") == {"shop/p"}
    assert seen(now, WAYPOINT_POLICY, "shop/ours") == set()


def test_only_what_differs_is_told_and_what_does_not_is_kept_as_it_was() -> None:
    web, cart = (Workload(uid=name, name=name, namespace="shop") for name in ("web", "cart"))
    first = published(web, cart, policy("nodes"))
    second = published(replace(web, node="node-2"), replace(cart), policy("nodes"), before=first)
    assert second.changes == {ADDRESS: {"web"}}
    assert second.catalog[ADDRESS].resources["cart"] is first.catalog[ADDRESS].resources["cart"]
    assert published(cart, policy("nodes"), before=second).changes == {ADDRESS: {"web"}}


def test_a_route_whose_service_moves_to_another_waypoint_changes_hands_without_changing() -> None:
    first = published(service("web", "ours"), route("web"))
    second = published(service("web", "theirs"), route("web"), before=first)
    assert second.changes[WAYPOINT_ROUTE] == {"web"}
    assert seen(second, WAYPOINT_ROUTE, "shop/ours") == set()
    versions = {each.catalog[WAYPOINT_ROUTE].resources["web"].version for each in (first, second)}
    assert len(versions) == 1


def test_a_policy_that_moves_to_waypoints_changes_its_type() -> None:
    first = published(policy("p"))
    second = published(policy("p", Target("Gateway", "shop", "ours")), before=first)
    assert second.changes == {AUTHORIZATION: {"shop/p"}, WAYPOINT_POLICY: {"shop/p"}}
