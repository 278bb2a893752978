"""Who is asked for names: the name servers of a resolv.conf(5). Pure."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from mesh.address import IP

_MOST: Final = 3
"""MAXNS of the C library: those beyond are never asked."""


def nameservers(text: str) -> tuple[IP, ...]:
    """The name servers in a resolv.conf's text, in the order in which they are to be asked.

    Those on a loopback are left out: they are the node's, and a pod has a loopback of its own.
    """
    found: dict[IP, None] = {}
    for line in text.splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword == "nameserver":
            with suppress(ValueError):
                server = ip_address(value.strip())
                if not server.is_loopback:
                    found[server] = None
    return tuple(found)[:_MOST]
