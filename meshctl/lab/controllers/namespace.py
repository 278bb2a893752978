"""Namespaces exist before what is in them, have a default service account, and take everything with them."""

from __future__ import annotations

from meshctl.lab.controllers.edit import Edit, Put, Remove, Terminate
from meshctl.lab.store import Objects, of_kind
from meshctl.manifest import Key


def namespace_edits(objects: Objects) -> list[Edit]:
    """Give every namespace its label and default service account; empty the ones that are going."""
    edits: list[Edit] = []
    for namespace in of_kind(objects, "Namespace"):
        name = namespace["metadata"]["name"]
        if "deletionTimestamp" in namespace["metadata"]:
            edits += _emptied(name, objects)
            continue
        labels = namespace["metadata"].get("labels") or {}
        if labels.get("kubernetes.io/metadata.name") != name:
            labelled = {**namespace["metadata"], "labels": {**labels, "kubernetes.io/metadata.name": name}}
            edits.append(Put({**namespace, "metadata": labelled}))
        if Key("ServiceAccount", name, "default") not in objects:
            metadata = {"name": "default", "namespace": name}
            edits.append(Put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}))
    return edits


def _emptied(name: str, objects: Objects) -> list[Edit]:
    inside = sorted(key for key in objects if key.namespace == name)
    if not inside:
        return [Remove(Key("Namespace", "", name))]
    running = [key for key in inside if key.kind == "Pod" and "deletionTimestamp" not in objects[key]["metadata"]]
    edits: list[Edit] = [Terminate(key) for key in running]
    return edits + [Remove(key) for key in inside if key.kind != "Pod"]
