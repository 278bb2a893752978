"""The statuses that istiod writes, read beside the objects."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

from meshctl.lab.store import file_name
from meshctl.manifest import Body, key_of

log = logging.getLogger(__name__)


class StatusFolder:
    """One file per object whose status istiod knows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def merged(self, body: Body) -> Body:
        """Return an object with istiod's status laid over its own; conditions are merged by their type."""
        written = self._read(file_name(key_of(body)))
        if not written:
            return body
        return {**body, "status": merge(body.get("status") or {}, written)}

    def _read(self, name: str) -> dict[str, Any]:
        for suffix in (".yaml", ".yml", ".json"):
            path = self._folder / (name + suffix)
            try:
                found = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
            except FileNotFoundError:
                continue
            except yaml.YAMLError:
                log.exception("%s is not readable", path)
                continue
            return dict((found or {}).get("status") or {})
        return {}


def merge(own: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    """Lay one status over another."""
    conditions = {entry["type"]: entry for status in (own, written) for entry in status.get("conditions") or ()}
    together = {**own, **written}
    if conditions:
        together["conditions"] = list(conditions.values())
    return together
