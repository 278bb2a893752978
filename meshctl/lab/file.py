"""Files that change in one step: whoever reads sees the old or the new text, never a part."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str, mode: int, owner: int | None = None) -> None:
    """Write a file beside the old one and put it in its place; it is never more open than `mode`."""
    fresh = path.with_name(f".{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as out:  # noqa: PTH123  (a descriptor, not a path)
        out.write(text)
        os.fchmod(fd, mode)
        if owner is not None:
            os.fchown(fd, owner, -1)
    fresh.rename(path)
