"""The manifests below a folder: what they say now, and what changed since the last look."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})

_log = logging.getLogger("folder")

_Mark = tuple[int, int, int]


class Folder:
    """The manifests below a folder, however deep; hidden files and folders are passed over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._marks: dict[str, _Mark] = {}

    def changes(self) -> dict[str, str | None]:
        """What differs from the last call: text by path relative to the folder, None for what is gone.

        A file that cannot be read counts as unchanged: what it said last stays in force.
        """
        found: dict[str, str | None] = {}
        present: set[str] = set()
        for path in _manifests(self.root):
            name = str(path.relative_to(self.root))
            try:
                stat = path.stat()
                present.add(name)
                mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if self._marks.get(name) != mark:
                    found[name] = path.read_text(encoding="utf-8")
                    self._marks[name] = mark
            except FileNotFoundError:
                present.discard(name)
            except (OSError, UnicodeError) as fault:
                _log.warning("%s cannot be read: %s", name, fault)
        for name in self._marks.keys() - present:
            found[name] = None
            del self._marks[name]
        return found


def texts(path: Path) -> dict[str, str]:
    """The manifest at this path, or all below it if it is a folder, by path; OSError or UnicodeError if unreadable."""
    files = _manifests(path) if path.is_dir() else [path]
    return {str(each): each.read_text(encoding="utf-8") for each in files}


def _manifests(root: Path) -> list[Path]:
    return [
        path
        for path in root.rglob("*")
        if path.suffix in _SUFFIXES and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
