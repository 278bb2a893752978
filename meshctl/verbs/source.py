"""Where manifests come from: a file, a folder, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from meshctl.failure import ExitCode, Failure

_SUFFIXES = (".yaml", ".yml", ".json")


def read_source(path: str) -> tuple[str, str]:
    """Return a name for messages and the text. Raises Failure if there is nothing to read."""
    if path == "-":
        return "standard input", sys.stdin.read()
    found = Path(path)
    try:
        if not found.is_dir():
            return path, found.read_text(encoding="utf-8")
        files = sorted(file for file in found.iterdir() if file.suffix in _SUFFIXES)
        if files:
            return path, "\n---\n".join(file.read_text(encoding="utf-8") for file in files)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Failure(f"{path} cannot be read: {reason}.", code=ExitCode.ABSENT) from None
    raise Failure(f"The folder {path} holds no {', '.join(_SUFFIXES)} files.", code=ExitCode.ABSENT)
