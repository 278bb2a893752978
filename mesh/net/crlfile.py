"""The file of revocation lists that an operator names (CRL_PATH), followed for as long as the proxy runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from mesh import revocation

_log = logging.getLogger("crl")

_PAUSE: Final = 1.0
"""Seconds between looks at the file; a mounted ConfigMap changes by a symbolic link, of which no watch would tell."""


class CrlFile:
    """What the file says. One that cannot be read, or is gone, leaves in force what was read last."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._complaint = ""
        self._listeners: set[Callable[[], None]] = set()
        self.pem = ""
        """The lists in force; none if empty."""
        self._look()

    def follow(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change from now on, until it is told to `leave`."""
        self._listeners.add(listener)

    def leave(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        self._listeners.discard(listener)

    async def run(self) -> None:
        """Look at the file again and again; for ever."""
        while True:
            await trio.sleep(_PAUSE)
            if self._look():
                for listener in tuple(self._listeners):
                    listener()

    def _look(self) -> bool:
        """Whether other lists are in force now."""
        if self._path is None:
            return False
        try:
            status = self._path.stat()
            seen = status.st_mtime_ns, status.st_ino, status.st_size
            if seen == self._seen:
                return False
            pem = self._path.read_bytes()
            count = len(revocation.read(pem))
            text = pem.decode("ascii")
        except (OSError, ValueError) as fault:
            self._complain(f"CRL_PATH={self._path}: {fault}; what was read before stays in force")
            return False
        self._seen, self._complaint = seen, ""
        _log.info("%d revocation lists in %s", count, self._path)
        changed, self.pem = text != self.pem, text
        return changed

    def _complain(self, complaint: str) -> None:
        """Once."""
        if complaint != self._complaint:
            self._complaint = complaint
            _log.error("%s", complaint)
