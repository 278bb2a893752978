"""Where manifests come from: a file, a folder, or standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from meshctl.failure import ExitCode, Failure

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Source:
    """Manifests. `name` is for messages; `folder` is where containers start that name no folder of their own."""

    name: str
    text: str
    folder: str


def read_source(path: str) -> Source:
    """Read manifests. Raises Failure if there is nothing to read."""
    if path == "-":
        return Source("standard input", sys.stdin.read(), str(Path.cwd()))
    found = Path(path)
    folder = str((found if found.is_dir() else found.parent).resolve())
    try:
        if not found.is_dir():
            return Source(path, found.read_text(encoding="utf-8"), folder)
        files = sorted(file for file in found.iterdir() if file.suffix in _SUFFIXES)
        if files:
            text = "\n---\n".join(file.read_text(encoding="utf-8") for file in files)
            return Source(path, text, folder)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Failure(f"{path} cannot be read: {reason}.", code=ExitCode.ABSENT) from None
    raise Failure(f"The folder {path} holds no {', '.join(_SUFFIXES)} files.", code=ExitCode.ABSENT)
