"""Which node a pod runs on."""

from __future__ import annotations

from collections.abc import Sequence

from meshctl.lab.controllers.deployment import owner_of
from meshctl.lab.controllers.edit import Edit, Put
from meshctl.lab.store import Objects, of_kind
from meshctl.manifest import Body


def scheduler_edits(objects: Objects, nodes: Sequence[str]) -> list[Edit]:
    """Place every pod that has no node: where fewest pods of its Deployment are, then where fewest pods are."""
    pods = list(of_kind(objects, "Pod"))
    placed = [pod for pod in pods if pod["spec"].get("nodeName")]
    edits: list[Edit] = []
    for pod in pods:
        if pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
            continue
        node = min(nodes, key=lambda name: (*_load(name, pod, placed), nodes.index(name)))
        bound = {**pod, "spec": {**pod["spec"], "nodeName": node}}
        placed.append(bound)
        edits.append(Put(bound))
    return edits


def _load(node: str, pod: Body, placed: Sequence[Body]) -> tuple[int, int]:
    here = [other for other in placed if other["spec"]["nodeName"] == node]
    owner = owner_of(pod)
    siblings = sum(owner is not None and owner_of(other) == owner for other in here)
    return siblings, len(here)
