"""Whether a connection may reach the pod, and which of its ports. Pure.

Asked for every CONNECT that arrives on 15008, for every plaintext connection on 15006 (whose caller proved nothing),
and again for all that live when a policy changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.address import IP, Address, HostPort, parse_authority
from mesh.identity import Identity
from mesh.policy import Call, Verdict, authorize
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.workload import Service, Workload, target_port
from ztunnel.plan import PROXY_PORTS


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that reached the pod."""

    peer: Identity | None
    """Who proved to be calling; None for a plaintext connection."""
    source: IP
    destination: Address
    """Where the connection itself arrived, an address of the pod."""
    authority: str | None = None
    """That of the CONNECT, untrusted; None for a plaintext connection."""
    host: str = ""
    """The host name of the service that the caller says it called; untrusted, for telemetry only."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A connection that may go on."""

    upstream: Address
    """Where the application listens."""
    call: Call
    """The facts that were judged; they are judged again when policies change."""
    verdict: Verdict
    service: Service | None = None
    """The service that was called, as far as the caller told; always one that the pod is an endpoint of."""


def admit(snapshot: Snapshot, own: Workload, arrival: Arrival) -> Admission | Refusal:
    """Decide for a connection that arrived in the pod `own`.

    The bytes always go to the address that the connection arrived at; the authority says the port, and is checked
    against that address.
    """
    found = _upstream(snapshot, own, arrival.destination, arrival.authority)
    if isinstance(found, Refusal):
        return found
    upstream, service = found
    if upstream.port in PROXY_PORTS:
        return Refusal(Reason.SELF_CALL, f"{upstream} is the proxy's own listener")
    call = Call(arrival.peer, arrival.source, upstream)
    verdict = judge(snapshot, own, call)
    if isinstance(verdict, Refusal):
        return verdict
    return Admission(upstream, call, verdict, service or _own_service(snapshot, own, arrival.host))


def judge(snapshot: Snapshot, own: Workload, call: Call) -> Verdict | Refusal:
    """What the policies in force for `own` say of a call; a Refusal names the policy, or those that did not match."""
    verdict = authorize(snapshot.policies_for(own), call)
    return verdict if verdict.allowed else Refusal(Reason.POLICY_DENIED, verdict.why)


def _upstream(
    snapshot: Snapshot, own: Workload, destination: Address, authority: str | None
) -> tuple[Address, Service | None] | Refusal:
    if authority is None:
        return destination, None
    try:
        asked = parse_authority(authority)
    except ValueError as fault:
        return Refusal(Reason.BAD_REQUEST, str(fault))
    if isinstance(asked, HostPort):
        return _named(snapshot, own, destination, asked)
    if asked.ip != destination.ip:
        detail = f"the CONNECT is for {asked}, but it came to {destination.ip}"
        return Refusal(Reason.ADDRESS_MISMATCH, detail)
    return Address(destination.ip, asked.port), None


def _named(
    snapshot: Snapshot, own: Workload, destination: Address, asked: HostPort
) -> tuple[Address, Service | None] | Refusal:
    """A host name must be that of a service that this pod is an endpoint of."""
    service = _own_service(snapshot, own, asked.host)
    if service is None:
        return Refusal(Reason.UNKNOWN_DESTINATION, f"this pod is no endpoint of a service named {asked.host}")
    port = target_port(service, own, asked.port)
    if port is None:
        return Refusal(Reason.UNKNOWN_PORT, f"service {service.key} has no port {asked.port} at this pod")
    return Address(destination.ip, port), service


def _own_service(snapshot: Snapshot, own: Workload, host: str) -> Service | None:
    """The service of that host name, if the pod is an endpoint of it."""
    service = snapshot.service_named(host, own.namespace)
    return service if service is not None and own.member_of(service.key) is not None else None
