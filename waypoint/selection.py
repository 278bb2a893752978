"""Which endpoint of a service a request goes to, by what is configured and what has been learned. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.address import Address
from mesh.balance import pick, tiers
from mesh.refusal import Reason, Refusal
from mesh.workload import AppProtocol, target_port
from waypoint.affinity import Affinity, affinity
from waypoint.endpoint import Endpoint, Ends

if TYPE_CHECKING:
    from mesh.traffic import TrafficPolicy
    from mesh.workload import Service, Workload
    from waypoint.http.events import RequestHead
    from waypoint.plan import Question

_NOTHING_TRIED: frozenset[str] = frozenset()


def select(
    question: Question,
    service: Service,
    port: int,
    bond: Affinity | None = None,
    tried: frozenset[str] = _NOTHING_TRIED,
) -> Endpoint | Refusal:
    """The endpoint for one attempt, none of those `tried` (by uid); `bond` is what `bound` says of the request."""
    ends = _ends(question, service, port)
    if ends.policy is None:
        chosen = pick(ends.tiers, question.dice, question.health, question.now(), tried)
    else:
        health, now, key = question.health, question.now(), bond.key if bond is not None else None
        chosen = question.balancer.choose(ends, health, now, question.dice, tried=tried, key=key)
    if chosen is None:
        what = "no endpoint" if not ends.members else f"none of {ends.members} endpoints usable"
        return Refusal(Reason.NO_HEALTHY_ENDPOINT, f"service {service.key} port {port} has {what}")
    made = ends.made.get(chosen.uid)
    if made is None:
        at = Address(chosen.addresses[0], ends.targets[chosen.uid])
        made = Endpoint(chosen, at, ends.protocol, service, port, watch=ends.watch, bounds=ends.bounds)
        ends.made[chosen.uid] = made
    return made


def bound(question: Question, service: Service, request: RequestHead | None) -> Affinity | None:
    """What binds a request, or a connection, to one of the service's endpoints, if anything does."""
    if not question.snapshot.traffic:
        return None
    policy = question.snapshot.traffic.get(service.key)
    balancing = policy.terms.balancing if policy is not None else None
    if balancing is None or balancing.hash_on is None:
        return None
    return affinity(balancing.hash_on, request, question.caller, question.dice)


def _own_workload(question: Question) -> Workload | None:
    """This waypoint's pod, from which nearness is measured; unknown means that nearness does not count."""
    here = question.here
    return question.snapshot.workload_at(here.network, here.address) if here.address is not None else None


def _ends(question: Question, service: Service, port: int) -> Ends:
    name = service.key, port
    found = question.memo.ends.get(name)
    if found is None:
        members = question.snapshot.endpoints(service.key)
        reached = [one for one in members if one.addresses and one.network == question.here.network]
        targets = {one.uid: target for one in reached if (target := target_port(service, one, port)) is not None}
        candidates = [one for one in reached if one.uid in targets]
        declared = service.port(port)
        protocol = declared.protocol if declared is not None else AppProtocol.UNKNOWN
        usable = tiers(candidates, service.balancing, _own_workload(question))
        policy = _policy(question, service)
        found = question.memo.ends[name] = Ends(name, usable, targets, len(members), protocol, policy)
        if found.balancing is not None and found.balancing.slow_start:
            question.balancer.meet(found, question.now())
    return found


def _policy(question: Question, service: Service) -> TrafficPolicy | None:
    """The service's, where it says anything of its endpoints."""
    policy = question.snapshot.traffic.get(service.key)
    terms = policy.terms if policy is not None else None
    said = terms is not None and (terms.balancing or terms.outliers or terms.bounds_connections)
    return policy if said else None
