"""Nodes: their labels say where workloads run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object


@dataclass(frozen=True, slots=True)
class Node:
    """A v1 Node."""

    meta: Metadata


def read_node(obj: Object, root: Field) -> Node:
    """Read a Node."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    return Node(read_metadata(obj, root))
