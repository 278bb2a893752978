"""What ztunnel would do with a connection that leaves one of its pods or arrives at one, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mesh.address import Address
from mesh.refusal import Refusal
from mesh.snapshot import Snapshot
from mesh.why import Explanation, Hop, Outcome, Step, ended, policy_steps
from mesh.workload import Workload
from ztunnel.admit import Arrival, admit, called
from ztunnel.plan import Plan, Transport, Unresolved, Ways, ways

_SHOWN: Final = 16
"""Endpoints that are named: people ask."""


def leaving(snapshot: Snapshot, source: Workload, destination: Address) -> Explanation:
    """For a connection that an application in the pod `source` opens to `destination`."""
    target = Step("target", _what_is_at(snapshot, source, destination))
    found = ways(snapshot, source, destination)
    if isinstance(found, Refusal):
        return Explanation((target, ended("endpoint", found)))
    if isinstance(found, Plan):
        return Explanation((target, Step("endpoint", found.why)), (_hop(found),), str(source.identity))
    through = (Step("waypoint", found.why),) if found.why else ()
    steps, hops = zip(*_endpoints(found), strict=True)
    known = tuple(hop for hop in hops if hop is not None)
    return Explanation((target, *through, *steps), known, str(source.identity))


def arriving(snapshot: Snapshot, own: Workload, arrival: Arrival) -> Explanation:
    """For a connection that reaches the pod `own`."""
    proof = "whoever it is, it came in clear text" if arrival.peer is None else f"{arrival.peer}, by mutual TLS"
    caller = Step("caller", proof)
    call = called(snapshot, own, arrival)
    if isinstance(call, Refusal):
        return Explanation((caller, ended("target", call)))
    steps = (caller, *policy_steps(snapshot.policies_for(own), call))
    found = admit(snapshot, own, arrival)
    if isinstance(found, Refusal):
        return Explanation(steps)
    return Explanation((*steps, Step("application", f"gets the bytes at {found.upstream}")))


def _what_is_at(snapshot: Snapshot, source: Workload, destination: Address) -> str:
    service = snapshot.service_at(source.network, destination.ip)
    if service is not None:
        return f"{destination} is service {service.key}"
    workload = snapshot.workload_at(source.network, destination.ip)
    return f"{destination} is {f'workload {workload.uid}' if workload is not None else 'nothing the mesh knows'}"


def _endpoints(found: Ways) -> Iterator[tuple[Step, Hop | None]]:
    """Each endpoint, the nearest tier first; only those of the first are chosen while one of them is well."""
    uids = {one.uid for tier in found.endpoints for one in tier.members}
    for rank, tier in enumerate(found.endpoints):
        for one in tier.members[:_SHOWN]:
            chosen = found.pick(_first, tried=uids - {one.uid})
            where = "" if rank == 0 else f", if none of the {rank} nearer groups is well"
            outcome = Outcome.YES if rank == 0 else Outcome.BESIDE
            if isinstance(chosen, Plan):
                what = f"waypoint pod {chosen.endpoint}" if chosen.waypoint else chosen.why
                yield Step("endpoint", f"{what}, at {chosen.connect_to}{where}", outcome), _hop(chosen)
            else:
                name = chosen.workload.hostname if isinstance(chosen, Unresolved) else chosen.detail
                yield Step("endpoint", f"{name}, wherever its name leads{where}", outcome), None


def _first() -> float:
    return 0.0


def _hop(plan: Plan) -> Hop:
    return Hop(str(plan.connect_to), plan.authority, plan.endpoint, plan.transport is Transport.HBONE, plan.waypoint)
