"""Namespaces: their labels say who is enrolled and which waypoint serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object


@dataclass(frozen=True, slots=True)
class Namespace:
    """A v1 Namespace."""

    meta: Metadata


def read_namespace(obj: Object, root: Field) -> Namespace:
    """Read a Namespace."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    return Namespace(read_metadata(obj, root))
