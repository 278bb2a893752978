"""Admits the objects that istiod owns into the lab, as an API server would take them from istiod's hands."""

from __future__ import annotations

import logging
from pathlib import Path

from watchfiles import awatch

from meshctl.failure import Failure
from meshctl.lab.api import Api
from meshctl.manifest import Body, Key, documents, key_of

_SETTLE_MILLISECONDS = 50
_STEP_MILLISECONDS = 10

log = logging.getLogger(__name__)


class GeneratedFolder:
    """What istiod wants to exist: the objects of waypoints, the root certificate in every namespace."""

    def __init__(self, folder: Path, api: Api) -> None:
        self._folder = folder
        self._api = api
        self._admitted: set[Key] = set()

    async def run(self) -> None:
        """Follow the folder, for ever."""
        self._admit()
        watching = awatch(self._folder, debounce=_SETTLE_MILLISECONDS, step=_STEP_MILLISECONDS, recursive=False)
        async for _ in watching:
            self._admit()

    def _admit(self) -> None:
        """Write what the folder holds, remove what it held before and holds no longer."""
        try:
            bodies = self._read()
        except (Failure, OSError) as reason:
            log.warning("istiod's objects cannot be read now: %s", reason)
            return
        present = self._api.namespaces()
        for body in bodies:
            if body["metadata"]["namespace"] in present:
                self._write(body)
        wanted = {key_of(body) for body in bodies}
        for key in sorted(self._admitted - wanted):
            self._api.discard(key)
        self._admitted = wanted

    def _write(self, body: Body) -> None:
        try:
            self._api.write(body)
        except Failure as reason:
            log.warning("istiod's object cannot be taken: %s", reason)

    def _read(self) -> list[Body]:
        files = sorted(self._folder.glob("*.yaml"))
        return [body for file in files for body in documents(file.read_text(encoding="utf-8"), file.name)]
