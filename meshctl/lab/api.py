"""What the API server would do with objects: apply, delete, label, get."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from meshctl.failure import ExitCode, Failure
from meshctl.lab.admission import Admission
from meshctl.lab.clock import now
from meshctl.lab.controllers.birth import born, started_in, updated
from meshctl.lab.status import StatusFolder
from meshctl.lab.store import Store
from meshctl.manifest import Body, Key, documents, key_of


class Api:
    """The verbs on objects. Every one raises Failure with a message for the user."""

    def __init__(self, store: Store, admission: Admission, statuses: StatusFolder) -> None:
        self._store = store
        self._admission = admission
        self._statuses = statuses

    async def apply(self, text: str, source: str, folder: str, namespace: str) -> list[str]:
        """Admit the objects of a text, all or none, and return a line for each.

        Containers that name no working folder start in `folder`, where the text came from: the programs of an
        example lie beside its manifest.
        """
        bodies = [started_in(folder, body) for body in documents(text, source, namespace)]
        if not bodies:
            raise Failure(f"{source} contains no objects.")
        self._require_namespaces(bodies)
        await self._admission.check(bodies, source)
        return [f"{_short(key_of(body))} {self.write(body)}" for body in bodies]

    def write(self, body: Body) -> str:
        """Write one object, and say whether it was created, configured or unchanged."""
        key = key_of(body)
        old = self._store.objects.get(key)
        if old is None:
            self._store.put(born(body, str(uuid.uuid4()), now()))
            return "created"
        new = updated(old, body)
        if new == old:
            return "unchanged"
        if key.kind == "Pod" and new["spec"] != old["spec"]:
            raise Failure(
                f"{key} is there already, and a pod's spec cannot change.",
                f"Delete it first: meshctl lab delete pod {key.name} -n {key.namespace}",
            )
        self._store.put(new)
        return "configured"

    def namespaces(self) -> frozenset[str]:
        """Return the namespaces that objects may be in."""
        found = self._store.of_kind("Namespace")
        return frozenset(body["metadata"]["name"] for body in found if "deletionTimestamp" not in body["metadata"])

    def discard(self, key: Key) -> None:
        """Remove an object, if it is there."""
        if key in self._store.objects:
            self.delete(key)

    def delete(self, key: Key) -> str:
        """Remove an object, or begin the end of one that takes time."""
        found = self._found(key)
        if key.kind in {"Pod", "Namespace"}:
            if "deletionTimestamp" not in found["metadata"]:
                self._store.put({**found, "metadata": {**found["metadata"], "deletionTimestamp": now()}})
        else:
            self._store.remove(key)
        return f"{_short(key)} deleted"

    def label(self, key: Key, changes: Mapping[str, str | None]) -> str:
        """Set labels; None takes one away."""
        found = self._found(key)
        labels = {**(found["metadata"].get("labels") or {}), **changes}
        kept = {name: value for name, value in labels.items() if value is not None}
        self._store.put({**found, "metadata": {**found["metadata"], "labels": kept}})
        return f"{_short(key)} labelled"

    def get(self, kind: str, namespace: str | None, name: str | None) -> list[Body]:
        """Return objects of a kind with their status, as far as anybody has written one."""
        found = [
            body for body in self._store.of_kind(kind, namespace) if name is None or body["metadata"]["name"] == name
        ]
        if name is not None and not found:
            raise _absent(Key(kind, namespace or "", name))
        return [self._statuses.merged(body) for body in found]

    def _found(self, key: Key) -> Body:
        found = self._store.objects.get(key)
        if found is None:
            raise _absent(key)
        return found

    def _require_namespaces(self, bodies: Sequence[Body]) -> None:
        known = self.namespaces() | {body["metadata"]["name"] for body in bodies if body["kind"] == "Namespace"}
        for body in bodies:
            if (namespace := body["metadata"].get("namespace", "")) and namespace not in known:
                raise Failure(
                    f"{key_of(body)}: there is no namespace {namespace}.",
                    f"Put it in the file, before what is in it:  kind: Namespace, metadata: {{name: {namespace}}}",
                )


def _absent(key: Key) -> Failure:
    return Failure(f"There is no {key}.", f"See what there is: meshctl lab get {key.kind.lower()}", ExitCode.ABSENT)


def _short(key: Key) -> str:
    return f"{key.kind.lower()}/{key.name}"
