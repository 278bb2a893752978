"""The hosts of ServiceEntries: who has a host that several claim, and which address a host gets that states none.

A host without an address gets one of 240.240.0.0/16, which is no address of anybody's (RFC 1112, section 4), so that
its calls can be told from others. It follows from the host's name and namespace by a digest: the same after every
restart and in every control plane, with nothing to remember. Of two hosts whose digests meet, the younger entry's
moves on: nobody can take an address by making another host.
"""

from __future__ import annotations

from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Final

from istiod_lite.facts import Service, ServiceEntry

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.world import World

AUTOMATIC: Final = IPv4Network("240.240.0.0/16")
_USABLE: Final = AUTOMATIC.num_addresses - 2

Automatic = dict[tuple[str, str], IPv4Address]
"""Addresses by namespace and host."""


def hosts_of(world: World, entry: ServiceEntry, settings: Settings) -> tuple[str, ...]:
    """The hosts that are really this entry's, in the order in which it states them."""
    return tuple(host for host in entry.hosts if not host_fault(world, entry, host, settings))


def host_fault(world: World, entry: ServiceEntry, host: str, settings: Settings) -> str:
    """Why a host of an entry is not used, "" if it is."""
    namespace = entry.meta.namespace
    service, _, rest = host.partition(".")
    if rest == f"{namespace}.svc.{settings.dns_domain}" and world.get(Service, namespace, service) is not None:
        return f"host {host} is that of Service {namespace}/{service}"
    owner = world.entry_of_host(namespace, host)
    if owner is not None and owner.meta.name != entry.meta.name:
        return f"host {host} already belongs to the older ServiceEntry {namespace}/{owner.meta.name}"
    return ""


def automatic_addresses(world: World, settings: Settings) -> Automatic:
    """The addresses of all hosts that get one: none with resolution NONE, none for wildcards."""
    found: Automatic = {}
    taken: set[IPv4Address] = set()
    for entry in sorted(world.all(ServiceEntry), key=lambda one: one.meta.age):
        if entry.addresses or entry.ranges or entry.resolution == "NONE":
            continue
        for host in hosts_of(world, entry, settings):
            if "*" not in host and len(taken) < _USABLE:
                address = _free(f"{entry.meta.namespace}/{host}", taken)
                taken.add(address)
                found[entry.meta.namespace, host] = address
    return found


def _free(name: str, taken: set[IPv4Address]) -> IPv4Address:
    """The address that a name leads to, or the first free one after it. The first and the last are left out."""
    place = int.from_bytes(sha256(name.encode()).digest()[:8], "big") % _USABLE
    while (address := AUTOMATIC[1 + place]) in taken:
        place = (place + 1) % _USABLE
    return address
