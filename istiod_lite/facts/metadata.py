"""What every object says of itself: names, labels, age, owners."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object, ObjectKey

_TIMESTAMP: Final = Shape(
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)"), 40, "a time such as 2026-01-31T09:00:00Z"
)
_FIELDS: Final = (
    "name", "namespace", "labels", "annotations", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "generateName",
    "managedFields", "selfLink",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of one object. `created` is RFC 3339 text in UTC, "" if the object never was in an API server."""

    key: ObjectKey
    source: str
    line: int
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generation: int
    created: str
    deleting: bool
    owner: str
    """The controlling owner as `Kind/name`, "" if nobody owns it."""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.key.name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.key.namespace

    @property
    def age(self) -> tuple[bool, str, str, str]:
        """A sorting key that puts the older object first, equally old ones by namespace and name.

        An object without a creation time is younger than all that have one.
        """
        return (not self.created, self.created, self.namespace, self.name)


def read_metadata(obj: Object, root: Field) -> Metadata:
    """Read `metadata`; its names were already checked when the object was told apart."""
    at = root["metadata"].knows(*_FIELDS)
    return Metadata(
        key=obj.key,
        source=obj.source,
        line=obj.line,
        uid=at["uid"].text(),
        labels=at["labels"].mapping(),
        annotations=at["annotations"].mapping(),
        generation=at["generation"].integer(0, 0, 1 << 62),
        created=at["creationTimestamp"].text(shape=_TIMESTAMP),
        deleting=at["deletionTimestamp"].given,
        owner=_owner(at["ownerReferences"]),
    )


def _owner(at: Field) -> str:
    for reference in at.each():
        kind, name = reference["kind"].text(), reference["name"].text()
        if reference["controller"].boolean(default=True):
            return f"{kind}/{name}"
    return ""
