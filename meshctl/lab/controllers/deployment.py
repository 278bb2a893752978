"""Deployments own pods. A changed template is rolled out so that there are never fewer ready pods than asked for."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

from meshctl.lab.controllers.edit import Edit, Put, Terminate
from meshctl.lab.endpoints import is_ready
from meshctl.lab.store import Objects, of_kind
from meshctl.manifest import Body, Key, key_of

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: no vowels, so no words; nothing that looks like something else."""

HASH_LABEL = "pod-template-hash"


def spelled(number: int, length: int) -> str:
    """Return a number written in ALPHABET, its last `length` places."""
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[digit])
    return "".join(reversed(letters))


def template_hash(template: Body) -> str:
    """Return the ten letters that stand for a pod template in names and labels."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return spelled(int.from_bytes(digest[:8]), 10)


def deployment_edits(objects: Objects, suffix: Callable[[], str]) -> list[Edit]:
    """Return the pods to make and to end, and the new status of each Deployment. `suffix` makes five letters."""
    edits: list[Edit] = []
    pods = list(of_kind(objects, "Pod"))
    deployments = list(of_kind(objects, "Deployment"))
    for deployment in deployments:
        edits += _edits_of(deployment, [pod for pod in pods if owner_of(pod) == key_of(deployment)], suffix)
    for pod in pods:
        owner = owner_of(pod)
        if owner is not None and owner not in objects and "deletionTimestamp" not in pod["metadata"]:
            edits.append(Terminate(key_of(pod)))
    return edits


def owner_of(pod: Body) -> Key | None:
    """Return the Deployment that a pod belongs to.

    As in Kubernetes the owner on record is a ReplicaSet named after Deployment and template; a lab keeps no
    ReplicaSet objects.
    """
    metadata = pod["metadata"]
    for reference in metadata.get("ownerReferences") or ():
        if reference["kind"] == "ReplicaSet":
            return Key("Deployment", metadata["namespace"], reference["name"].rpartition("-")[0])
    return None


def _edits_of(deployment: Body, owned: list[Body], suffix: Callable[[], str]) -> list[Edit]:
    spec = deployment["spec"]
    wanted = int(spec.get("replicas", 1))
    current = template_hash(spec["template"])
    alive = [pod for pod in owned if "deletionTimestamp" not in pod["metadata"]]
    new = [pod for pod in alive if pod["metadata"].get("labels", {}).get(HASH_LABEL) == current]
    old = [pod for pod in alive if pod not in new]
    recreate = spec.get("strategy", {}).get("type") == "Recreate"
    edits: list[Edit] = []
    if recreate and old:
        edits += [Terminate(key_of(pod)) for pod in old]
    elif not recreate or len(owned) == len(new):
        room = wanted + _surge(spec, wanted) - len(alive)
        for _ in range(min(wanted - len(new), room if old else wanted)):
            edits.append(Put(_pod(deployment, current, suffix())))
        edits += [Terminate(key_of(pod)) for pod in _surplus(new, old, wanted)]
    return [*edits, *_status(deployment, alive, new)]


def _surge(spec: Body, wanted: int) -> int:
    surge: int | str = spec.get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", "25%")
    if isinstance(surge, str):
        surge = math.ceil(wanted * int(surge.rstrip("%")) / 100)
    return max(1, int(surge))


def _surplus(new: list[Body], old: list[Body], wanted: int) -> list[Body]:
    """Return the pods that can go: unready old ones, ready old ones beyond what is asked for, extra new ones."""
    ready_new = sum(is_ready(pod) for pod in new)
    going = [pod for pod in old if not is_ready(pod)]
    ready_old = [pod for pod in old if is_ready(pod)]
    going += ready_old[: max(0, len(ready_old) + min(ready_new, wanted) - wanted)]
    by_worth = sorted(new, key=lambda pod: (is_ready(pod), pod["metadata"]["name"]))
    return going + by_worth[: max(0, len(new) - wanted)]


def _pod(deployment: Body, current: str, suffix: str) -> Body:
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    given: dict[str, Any] = template.get("metadata") or {}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{metadata['name']}-{current}",
        "uid": metadata["uid"],
        "controller": True,
    }
    pod_metadata: dict[str, Any] = {
        "name": f"{metadata['name']}-{current}-{suffix}",
        "namespace": metadata["namespace"],
        "labels": {**(given.get("labels") or {}), HASH_LABEL: current},
        "ownerReferences": [owner],
    }
    if given.get("annotations"):
        pod_metadata["annotations"] = dict(given["annotations"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_metadata, "spec": template["spec"]}


def _status(deployment: Body, alive: list[Body], new: list[Body]) -> list[Edit]:
    wanted, ready = int(deployment["spec"].get("replicas", 1)), sum(is_ready(pod) for pod in alive)
    status = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": len(alive),
        "updatedReplicas": len(new),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "conditions": [{"type": "Available", "status": "True" if ready >= wanted else "False"}],
    }
    return [] if deployment.get("status") == status else [Put({**deployment, "status": status})]
