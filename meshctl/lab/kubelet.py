"""The kubelet's part: brings the pods that were placed on nodes to life, keeps their status, and ends them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from ipaddress import IPv4Address

from meshctl.lab.addressing import next_pod_address
from meshctl.lab.network import Node
from meshctl.lab.pod import Pod
from meshctl.lab.surroundings import Cni, Surroundings
from meshctl.manifest import Body, Key, key_of

log = logging.getLogger(__name__)


class Kubelet:
    """The pods of all nodes."""

    def __init__(self, around: Surroundings, nodes: dict[str, Node], cni: Callable[[str], Cni | None]) -> None:
        self._around = around
        self._nodes = nodes
        self._cni = cni
        self._pods: dict[str, Pod] = {}
        self._last: dict[str, IPv4Address] = {}

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Return a pod that is or was brought to life here."""
        found = self._around.store.get("Pod", namespace, name)
        return None if found is None else self._pods.get(found["metadata"]["uid"])

    @property
    def pods(self) -> list[Pod]:
        """Every pod that lives."""
        return list(self._pods.values())

    def sync(self, tasks: asyncio.TaskGroup) -> None:
        """Begin the life of pods that are new; tell pods that their object changed."""
        for body in self._around.store.of_kind("Pod"):
            uid, name = body["metadata"]["uid"], body["spec"].get("nodeName")
            if uid in self._pods:
                self._pods[uid].notice()
            elif "deletionTimestamp" in body["metadata"]:
                self._around.store.remove(key_of(body))
            elif name in self._nodes:
                self._pods[uid] = pod = self._born(body, self._nodes[name])
                tasks.create_task(self._live(pod, uid, key_of(body)), name=f"pod {body['metadata']['name']}")

    def _born(self, body: Body, node: Node) -> Pod:
        used = {pod.address for pod in self._pods.values() if pod.address is not None}
        address = next_pod_address(node.index, self._last.get(node.name), used)
        if address is not None:
            self._last[node.name] = address
        return Pod(self._around, body, node, address, self._cni(node.name))

    async def _live(self, pod: Pod, uid: str, key: Key) -> None:
        try:
            await pod.live()
        except Exception as fault:
            log.exception("%s was given up", key)
            await pod.give_up(f"the lab cannot run it: {fault!r}")
        finally:
            del self._pods[uid]
            self._around.store.remove(key)
