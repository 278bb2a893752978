"""Certificates for the node's pods: requests go to the authority; what it signed is remembered for people to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from mesh import pki
from mesh.net.certs import CaEndpoint, sign
from ztunnel.supervisor.place import Place
from ztunnel.worker.start import Pod

_AT_ONCE: Final = 8
"""Requests on their way to the authority; the others wait."""


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate that a worker got; nothing of it is secret."""

    identity: str
    serial: str
    valid_from: str
    expires: str


class Signing:
    """Asks on behalf of the node's pods, each for its own identity and no other."""

    def __init__(self, endpoint: CaEndpoint, place: Place, seconds: int) -> None:
        self._endpoint = endpoint
        self._place = place
        self._seconds = seconds
        self._room = trio.CapacityLimiter(_AT_ONCE)
        self.issued: dict[Pod, Issued] = {}
        """The latest for every pod that has got one."""

    async def sign(self, pod: Pod, csr: bytes) -> pki.Chain:
        """Have the request of this pod's worker signed. Raises mesh.net.certs.SigningFailed."""
        identity = self._place.identity(pod)
        async with self._room:
            chain = await sign(self._endpoint, csr, identity, self._seconds, impersonate=True)
        self.issued[pod] = _describe(str(identity), chain)
        return chain


def _describe(identity: str, chain: pki.Chain) -> Issued:
    try:
        leaf = pki.leaf_of(chain.certificates)
    except ValueError:
        return Issued(identity, "", "", "")  # the worker will say what is wrong with it
    return Issued(
        identity, f"{leaf.serial_number:x}", leaf.not_valid_before_utc.isoformat(), leaf.not_valid_after_utc.isoformat()
    )
