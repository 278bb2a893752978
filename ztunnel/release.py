"""An installed ztunnel: which version, and how its parts are run. A node goes from one to the next while it serves."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from dataclasses import dataclass
from typing import Final

DISTRIBUTION: Final = "ambit-mesh"

_SAID: Final = re.compile(r"ztunnel (\S{1,64})\s*")


@dataclass(frozen=True, slots=True)
class Release:
    """One of them."""

    python: str
    """Path of the interpreter that it is installed for."""
    version: str

    def command(self, *words: str) -> tuple[str, ...]:
        """The command line of `ztunnel WORDS` of this release, whatever the working directory holds."""
        return (self.python, "-P", "-m", "ztunnel", *words)


def installed() -> Release:
    """What is on disk now for this interpreter: this very ztunnel, or another that was put in its place."""
    return Release(sys.executable, importlib.metadata.version(DISTRIBUTION))


def version_said(output: str) -> str | None:
    """The version in what `ztunnel --version` printed; None if a ztunnel prints no such thing."""
    found = _SAID.fullmatch(output)
    return found[1] if found else None


@dataclass(slots=True)
class Watch:
    """Decides when what is on disk is to be run: when it is another version, at two looks in a row.

    An installation is not replaced in one moment; one that still changes is left alone.
    """

    running: str
    _seen: str | None = None

    def due(self, version: str | None) -> bool:
        """Whether to run the version that was found on disk; None stands for an installation that cannot be read."""
        twice = version is not None and version == self._seen
        self._seen = version
        return twice and version != self.running
