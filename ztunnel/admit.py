"""Whether a connection may reach the pod, and which of its ports. Pure.

Asked for every CONNECT that arrives on 15008, for every plaintext connection on 15006 (whose caller proved nothing),
and again for all that live when a policy changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mesh.address import IP, Address, HostPort, parse_authority
from mesh.identity import Identity
from mesh.proxy_protocol import ProxyHeader
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.verdict import Call, Verdict, authorize
from mesh.workload import ApplicationTunnel, Service, Workload, target_port
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
    source_port: int = 0


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
    header: ProxyHeader | None = None
    """What the application is told before the caller's first byte, if it asked to be told."""


def admit(snapshot: Snapshot, own: Workload, arrival: Arrival) -> Admission | Refusal:
    """Decide for a connection that arrived in the pod `own`.

    The bytes always go to the address that the connection arrived at; the authority says the port, and is checked
    against that address. A pod with an application tunnel gets everything at that one port, whatever it was for.
    """
    found = _target(snapshot, own, arrival)
    if isinstance(found, Refusal):
        return found
    call = _call(arrival, found)
    verdict = judge(snapshot, own, call)
    if isinstance(verdict, Refusal):
        return verdict
    service = found.service or _own_service(snapshot, own, arrival.host)
    return Admission(found.upstream, call, verdict, service, found.header)


def called(snapshot: Snapshot, own: Workload, arrival: Arrival) -> Call | Refusal:
    """What policies are to judge of an arrival; a Refusal where nobody needs to judge it."""
    found = _target(snapshot, own, arrival)
    return found if isinstance(found, Refusal) else _call(arrival, found)


def judge(snapshot: Snapshot, own: Workload, call: Call) -> Verdict | Refusal:
    """What the policies in force for `own` say of a call; a Refusal names the policy, or those that did not match."""
    verdict = authorize(snapshot.policies_for(own), call)
    return verdict if verdict.allowed else Refusal(Reason.POLICY_DENIED, verdict.why)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the bytes go."""

    upstream: Address
    service: Service | None = None
    header: ProxyHeader | None = None


def _call(arrival: Arrival, target: _Target) -> Call:
    return Call(arrival.peer, arrival.source, Address(arrival.destination.ip, target.upstream.port))


def _target(snapshot: Snapshot, own: Workload, arrival: Arrival) -> _Target | Refusal:
    found = _asked(snapshot, own, arrival)
    if isinstance(found, _Target) and found.upstream.port in PROXY_PORTS:
        return Refusal(Reason.SELF_CALL, f"{found.upstream} is the proxy's own listener")
    return found


def _asked(snapshot: Snapshot, own: Workload, arrival: Arrival) -> _Target | Refusal:
    if arrival.authority is None:
        return _plain(own, arrival.destination)
    try:
        asked = parse_authority(arrival.authority)
    except ValueError as fault:
        return Refusal(Reason.BAD_REQUEST, str(fault))
    if own.application_tunnel is not None:
        return _tunnelled(snapshot, own, arrival, own.application_tunnel, asked)
    if isinstance(asked, HostPort):
        return _named(snapshot, own, arrival.destination, asked)
    if asked.ip != arrival.destination.ip:
        detail = f"the CONNECT is for {asked}, but it came to {arrival.destination.ip}"
        return Refusal(Reason.ADDRESS_MISMATCH, detail)
    return _Target(Address(arrival.destination.ip, asked.port))


def _plain(own: Workload, destination: Address) -> _Target | Refusal:
    tunnel = own.application_tunnel
    if tunnel is not None and tunnel.proxy_protocol and destination.port == tunnel.port:
        # Whoever came in here could write a header of his own, and be taken for anybody.
        return Refusal(Reason.SELF_CALL, f"port {tunnel.port} hears from this proxy alone who calls")
    return _Target(destination)


def _tunnelled(
    snapshot: Snapshot, own: Workload, arrival: Arrival, tunnel: ApplicationTunnel, asked: Address | HostPort
) -> _Target | Refusal:
    """The pod's own proxy takes it, and is told of the caller by PROXY protocol, on its loopback, if it wants that."""
    destination = arrival.destination
    if not tunnel.proxy_protocol:
        return _Target(Address(destination.ip, tunnel.port or asked.port))
    called = asked if isinstance(asked, Address) else _virtual(snapshot, own, asked)
    if isinstance(called, Refusal):
        return called
    loopback: IP = IPv4Address("127.0.0.1") if destination.ip.version == 4 else IPv6Address("::1")
    header = ProxyHeader(Address(arrival.source, arrival.source_port), called, arrival.peer)
    return _Target(Address(loopback, tunnel.port or asked.port), header=header)


def _virtual(snapshot: Snapshot, own: Workload, asked: HostPort) -> Address | Refusal:
    """A host name as the header can hold it: an address of its service, on our network and IPv4 if there is one."""
    service = snapshot.service_named(asked.host, own.namespace)
    if service is None or not service.addresses:
        return Refusal(Reason.UNKNOWN_DESTINATION, f"the mesh knows no address of a service named {asked.host}")
    best = min(service.addresses, key=lambda at: (at.network != own.network, at.ip.version))
    return Address(best.ip, asked.port)


def _named(snapshot: Snapshot, own: Workload, destination: Address, asked: HostPort) -> _Target | Refusal:
    """A host name must be that of a service that this pod is an endpoint of."""
    service = _own_service(snapshot, own, asked.host)
    if service is None:
        return Refusal(Reason.UNKNOWN_DESTINATION, f"this pod is no endpoint of a service named {asked.host}")
    port = target_port(service, own, asked.port)
    if port is None:
        return Refusal(Reason.UNKNOWN_PORT, f"service {service.key} has no port {asked.port} at this pod")
    return _Target(Address(destination.ip, port), service)


def _own_service(snapshot: Snapshot, own: Workload, host: str) -> Service | None:
    """The service of that host name, if the pod is an endpoint of it."""
    service = snapshot.service_named(host, own.namespace)
    return service if service is not None and own.member_of(service.key) is not None else None
