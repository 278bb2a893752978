"""What the lab's name server answers (Kubernetes DNS-based service discovery, version 1.1.0).

It knows services, pods and the hosts of ServiceEntries, and asks nobody else: any other name does not exist, and is
answered so at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from meshctl.lab.addressing import PODS
from meshctl.lab.endpoints import Backed
from meshctl.manifest import Body

DOMAIN = "cluster.local"
_MOST_ALIASES = 8
TTL = 5
"""Seconds. Short, because a lab's pods come and go while somebody watches."""

_KINDS = {dns.rdatatype.A: ("A", 4), dns.rdatatype.AAAA: ("AAAA", 6)}
"""Record types of addresses, with the version of IP."""

SEARCH = "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\n"


@dataclass(frozen=True, slots=True)
class Zone:
    """Names of the lab, lower case and without the final dot. `names` includes those that only have names below."""

    addresses: Mapping[str, tuple[IPv4Address | IPv6Address, ...]]
    services: Mapping[str, tuple[tuple[int, str], ...]]
    """SRV: port and host."""
    names: frozenset[str]
    aliases: Mapping[str, str]
    """The names that ExternalName services stand for."""


def zone(services: Iterable[Backed], entries: Iterable[Body] = (), external: Iterable[Body] = ()) -> Zone:
    """Return the names that services have, and the hosts of ServiceEntries that say where they are.

    `external` are services of type ExternalName.
    """
    addresses: dict[str, tuple[IPv4Address | IPv6Address, ...]] = {
        host: found for entry in entries for host, found in _hosts(entry)
    }
    ports: dict[str, tuple[tuple[int, str], ...]] = {}
    for backed in services:
        host = f"{backed.name}.{backed.namespace}.svc.{DOMAIN}"
        if backed.address is not None:
            addresses[host] = (backed.address, *((backed.address_v6,) if backed.address_v6 is not None else ()))
            for port in backed.ports:
                if port.name:
                    ports[f"_{port.name}._{port.protocol}.{host}"] = ((port.port, host),)
            continue
        addresses[host] = tuple(address for _, address in backed.pods)
        for pod, address in backed.pods:
            addresses[f"{pod}.{host}"] = (address,)
    aliases = dict(map(_alias, external))
    known = {parent for name in (*addresses, *ports, *aliases) for parent in _parents(name)}
    return Zone(addresses, ports, frozenset(known | {DOMAIN, f"svc.{DOMAIN}", f"pod.{DOMAIN}"}), aliases)


def _alias(service: Body) -> tuple[str, str]:
    metadata = service["metadata"]
    target = str(service["spec"].get("externalName", "")).lower().removesuffix(".")
    return f"{metadata['name']}.{metadata['namespace']}.svc.{DOMAIN}", target


def _hosts(entry: Body) -> Iterator[tuple[str, tuple[IPv4Address, ...]]]:
    """Return the hosts of a ServiceEntry with its addresses, else with those of its endpoints; IPv4 ones only."""
    spec = entry.get("spec") or {}
    stated = spec.get("addresses") or [endpoint.get("address") for endpoint in spec.get("endpoints") or ()]
    found = tuple(address for text in stated if (address := _address(text)) is not None)
    for host in spec.get("hosts") or ():
        if found and "*" not in host:
            yield host.lower(), found


def _address(text: object) -> IPv4Address | None:
    try:
        return IPv4Address(str(text))
    except ValueError:
        return None


def _parents(name: str) -> Iterable[str]:
    labels = name.split(".")
    return (".".join(labels[start:]) for start in range(len(labels)))


def resolv_conf(namespace: str, server: IPv4Address) -> str:
    """Return a pod's resolver configuration."""
    return f"nameserver {server}\n{SEARCH.format(namespace=namespace)}options ndots:5\n"


def answer(query: dns.message.Message, known: Zone) -> dns.message.Message:
    """Return the response to a query, authoritative for every name there is."""
    response = dns.message.make_response(query, recursion_available=True)
    if not query.question:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    response.flags |= dns.flags.AA
    question = query.question[0]
    owner, name = question.name, question.name.to_text(omit_final_dot=True).lower()
    for _ in range(_MOST_ALIASES):
        if name not in known.aliases:
            break
        name = known.aliases[name]
        response.answer.append(_records(owner, "CNAME", (f"{name}.",)))
        owner = response.answer[-1][0].target
        if question.rdtype == dns.rdatatype.CNAME:
            return response
    found = known.addresses.get(name) or _pod_address(name)
    kind = _KINDS.get(question.rdtype)
    if kind is not None and (texts := [str(address) for address in found if address.version == kind[1]]):
        response.answer.append(_records(owner, kind[0], texts))
    elif name in known.services and question.rdtype == dns.rdatatype.SRV:
        entries = known.services[name]
        response.answer.append(
            _records(owner, "SRV", (f"0 {100 // len(entries)} {port} {host}." for port, host in entries))
        )
    else:
        if not found and name not in known.names:
            response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(_start_of_authority())
    return response


def _pod_address(name: str) -> tuple[IPv4Address, ...]:
    """Read `10-244-1-2.NAMESPACE.pod.cluster.local`, a name that every pod address has."""
    first, _, rest = name.partition(".")
    if not rest.endswith(f".pod.{DOMAIN}"):
        return ()
    try:
        address = IPv4Address(first.replace("-", "."))
    except ValueError:
        return ()
    return (address,) if address in PODS else ()


def _records(name: dns.name.Name, kind: str, texts: Iterable[str]) -> dns.rrset.RRset:
    return dns.rrset.from_text_list(name, TTL, dns.rdataclass.IN, kind, list(texts))


def _start_of_authority() -> dns.rrset.RRset:
    """Let resolvers remember for TTL seconds that there is no answer (RFC 2308)."""
    text = f"ns.dns.{DOMAIN}. hostmaster.{DOMAIN}. 1 7200 1800 86400 {TTL}"
    return dns.rrset.from_text(f"{DOMAIN}.", TTL, dns.rdataclass.IN, "SOA", text)
