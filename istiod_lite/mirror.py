"""A folder of manifests that nobody else writes: it always holds exactly what it was last told to hold."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_log = logging.getLogger("mirror")


class Mirror:
    """Writes only what changed, each file at once (by renaming), and removes what is no longer wanted."""

    def __init__(self, folder: Path) -> None:
        """Begin with what a former process left in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._texts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}

    def documents(self) -> list[dict[str, Any]]:
        """What the folder holds; files that are not manifests any more are passed over."""
        found = []
        for name, text in self._texts.items():
            try:
                document = yaml.load(text, Loader=yaml.CSafeLoader)
            except yaml.YAMLError:
                _log.warning("%s cannot be read and will be written anew", self._folder / name)
                continue
            if isinstance(document, dict):
                found.append(document)
        return found

    def hold(self, documents: Iterable[dict[str, Any]]) -> None:
        """Hold these manifests and no others."""
        wanted = {_file_name(one): one for one in documents}
        for name, document in wanted.items():
            text = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False)
            if self._texts.get(name) != text:
                self._write(name, text)
                self._texts[name] = text
        for name in self._texts.keys() - wanted.keys():
            (self._folder / name).unlink(missing_ok=True)
            del self._texts[name]

    def _write(self, name: str, text: str) -> None:
        partial = self._folder / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._folder / name)


def _file_name(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    return f"{document['kind']}_{metadata.get('namespace', '')}_{metadata['name']}.yaml"
