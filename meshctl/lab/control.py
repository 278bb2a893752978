"""The control loop: asks every controller until none wants anything, then lets nodes follow."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Sequence

from meshctl.lab.clock import now
from meshctl.lab.controllers.birth import born
from meshctl.lab.controllers.deployment import deployment_edits, spelled
from meshctl.lab.controllers.edit import Edit, Put, Remove, Terminate
from meshctl.lab.controllers.namespace import namespace_edits
from meshctl.lab.controllers.scheduler import scheduler_edits
from meshctl.lab.controllers.service import service_edits
from meshctl.lab.endpoints import backed_services
from meshctl.lab.kubelet import Kubelet
from meshctl.lab.names import Zone, zone
from meshctl.lab.network import Network, Node
from meshctl.lab.service_rules import service_rules
from meshctl.lab.store import Store
from meshctl.manifest import key_of

_MOST_ROUNDS = 50
_SUFFIX_LETTERS = 5

log = logging.getLogger(__name__)


class Control:
    """Reconciles until the lab ends."""

    def __init__(self, store: Store, network: Network, kubelet: Kubelet, nodes: Sequence[Node]) -> None:
        self._store = store
        self._network = network
        self._kubelet = kubelet
        self._nodes = nodes
        self._rules = ""
        self.zone: Zone = zone(())

    async def run(self) -> None:
        """Follow every change of the store, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._settle()
                seen = self._store.version
                self._kubelet.sync(tasks)
                await self._publish_services()
                await self._store.changed(seen)

    def _settle(self) -> None:
        for _ in range(_MOST_ROUNDS):
            edits = self._edits()
            if not edits:
                return
            for edit in edits:
                self._apply(edit)
        log.error("controllers do not agree after %d rounds; the last wanted %s", _MOST_ROUNDS, edits)

    def _edits(self) -> list[Edit]:
        objects = self._store.objects
        return (
            namespace_edits(objects)
            or service_edits(objects, dual=self._network.dual)
            or deployment_edits(objects, _suffix)
            or scheduler_edits(objects, [node.name for node in self._nodes])
        )

    def _apply(self, edit: Edit) -> None:
        match edit:
            case Put(body):
                known = self._store.objects.get(key_of(body))
                self._store.put(body if known else born(body, str(uuid.uuid4()), now()))
            case Remove(key):
                self._store.remove(key)
            case Terminate(key):
                pod = self._store.objects[key]
                self._store.put({**pod, "metadata": {**pod["metadata"], "deletionTimestamp": now()}})

    async def _publish_services(self) -> None:
        services = backed_services(self._store.objects)
        external = (one for one in self._store.of_kind("Service") if one.get("spec", {}).get("type") == "ExternalName")
        self.zone = zone(services, self._store.of_kind("ServiceEntry"), external)
        rules = service_rules(services, dual=self._network.dual)
        if rules != self._rules:
            await asyncio.gather(*(self._network.set_rules(node, rules) for node in self._nodes))
            self._rules = rules


def _suffix() -> str:
    return spelled(secrets.randbits(40), _SUFFIX_LETTERS)
