"""What every pod's life depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from meshctl.lab.init import Init
from meshctl.lab.netns import Netns
from meshctl.lab.network import Network
from meshctl.lab.place import Place
from meshctl.lab.store import Store
from meshctl.lab.tokens import TokenIssuer
from meshctl.manifest import Body


class Cni(Protocol):
    """What the kubelet asks of a node's CNI agent, once a pod has a network and before it has none."""

    async def attach(self, pod: Body, netns: Netns) -> None:
        """Enrol the pod if it is to be in the mesh, before its first container starts."""

    async def detach(self, pod: Body) -> None:
        """Release the pod; its processes have ended."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parts of the lab that pods use."""

    place: Place
    init: Init
    network: Network
    store: Store
    issuer: TokenIssuer
