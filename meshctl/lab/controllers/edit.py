"""A change that a controller wants."""

from __future__ import annotations

from dataclasses import dataclass

from meshctl.manifest import Body, Key


@dataclass(frozen=True, slots=True)
class Put:
    """Write this object."""

    body: Body


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove this object at once."""

    key: Key


@dataclass(frozen=True, slots=True)
class Terminate:
    """Begin a pod's end: it gets a deletionTimestamp, and goes once its processes have."""

    key: Key


Edit = Put | Remove | Terminate
