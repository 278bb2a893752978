"""The objects of a lab, in memory and as one file each, with one writer.

A change is complete on disk before anybody is told of it: readers of the folder see whole files only.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from pathlib import Path

from meshctl.manifest import Body, Key, key_of, pretty_json

Objects = dict[Key, Body]


def file_name(key: Key) -> str:
    """Return the name of an object's file; no part of a key can contain an underscore."""
    return f"{key.kind}_{key.namespace}_{key.name}"


class Store:
    """Objects by key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._objects: Objects = {}
        self._version = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    @property
    def objects(self) -> Objects:
        """All objects. Look, do not touch: changes go through `put` and `remove`."""
        return self._objects

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """Return an object or None."""
        return self._objects.get(Key(kind, namespace, name))

    def of_kind(self, kind: str, namespace: str | None = None) -> list[Body]:
        """Return the objects of a kind, in all namespaces or one, ordered by namespace and name."""
        keys = sorted(key for key in self._objects if key.kind == kind and namespace in {None, key.namespace})
        return [self._objects[key] for key in keys]

    def put(self, body: Body) -> None:
        """Write an object, new or changed. Writing what is there already does nothing."""
        key = key_of(body)
        if self._objects.get(key) == body:
            return
        body = copy.deepcopy(body)
        path = self._folder / f"{file_name(key)}.json"
        fresh = self._folder / f".{path.name}.new"
        fresh.write_text(pretty_json(body), encoding="utf-8")
        fresh.rename(path)
        self._objects[key] = body
        self._tell()

    def remove(self, key: Key) -> None:
        """Remove an object if it is there."""
        if self._objects.pop(key, None) is not None:
            (self._folder / f"{file_name(key)}.json").unlink(missing_ok=True)
            self._tell()

    async def changed(self, since: int) -> int:
        """Return the version as soon as it is not `since` any more."""
        while self._version == since:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(told)
            try:
                await told
            finally:
                self._waiting.discard(told)
        return self._version

    def _tell(self) -> None:
        self._version += 1
        for told in self._waiting:
            if not told.done():
                told.set_result(None)


def of_kind(objects: Objects, kind: str) -> Iterable[Body]:
    """Return the objects of one kind, in order of their keys."""
    return (objects[key] for key in sorted(objects) if key.kind == kind)
