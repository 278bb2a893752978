"""What a host name means to a pod of the mesh (Kubernetes DNS specification 1.1; ztunnel's forms of a name). Pure.

A pod's resolver appends its search domains to what a process asked for, so `db.example.com` is first asked for as
`db.example.com.shop.svc.cluster.local`: a search domain that makes no service's name is taken off again. A name is
tried as it is before a wildcard, and a narrow wildcard before a wide one.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.address import IP
from mesh.snapshot import Snapshot
from mesh.workload import Service
from ztunnel.channel.message import Resolved
from ztunnel.supervisor.place import Place
from ztunnel.worker.start import Pod


def resolve(snapshot: Snapshot, place: Place, pod: Pod, name: str) -> Resolved:
    """The addresses of the service that `pod` means by a name (lower case, no final dot)."""
    for candidate, stripped in _forms(name, pod.namespace, place.cluster_domain):
        for hostname in _wildcards(candidate):
            service = snapshot.service_named(hostname, pod.namespace)
            if service is not None and (service.addresses or service.canonical):
                alias = hostname if stripped and not hostname.startswith("*") else ""
                return Resolved(name, known=True, alias=alias, addresses=_addresses(snapshot, place.network, service))
    return Resolved(name)


def _forms(name: str, namespace: str, domain: str) -> Iterator[tuple[str, bool]]:
    """Each full name that may be meant, and whether a search domain has been taken off for it."""
    yield name, False
    yield from ((full, False) for full in _expanded(name, namespace, domain))
    for search in (f".{namespace}.svc.{domain}", f".svc.{domain}", f".{domain}"):
        stripped = name.removesuffix(search)
        if stripped not in {name, ""}:
            yield stripped, True
            yield from ((full, True) for full in _expanded(stripped, namespace, domain))


def _expanded(name: str, namespace: str, domain: str) -> Iterator[str]:
    """The service's full name behind `web`, `web.shop` and `web.shop.svc`."""
    match name.split("."):
        case [_]:
            yield f"{name}.{namespace}.svc.{domain}"
        case [_, _]:
            yield f"{name}.svc.{domain}"
        case [_, _, "svc"]:
            yield f"{name}.{domain}"


def _wildcards(name: str) -> Iterator[str]:
    yield name
    _, dot, rest = name.partition(".")
    while dot:
        yield f"*.{rest}"
        _, dot, rest = rest.partition(".")


def _addresses(snapshot: Snapshot, network: str, service: Service) -> tuple[IP, ...]:
    """The virtual addresses; those of the ready endpoints where the service is headless."""
    if service.addresses:
        return tuple(one.ip for one in service.addresses if one.network == network)
    ready = (
        one
        for one in snapshot.endpoints(service.key)
        if one.network == network and (one.healthy or service.balancing.unhealthy_too)
    )
    return tuple(dict.fromkeys(ip for one in ready for ip in one.addresses))
