"""Deployments: the templates of pods. The mesh compiles pods; a Deployment is read for its faults only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.metadata import Metadata, read_metadata
from istiod_lite.facts.pod import read_pod_spec

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

_SPEC_FIELDS: Final = (
    "minReadySeconds", "paused", "progressDeadlineSeconds", "replicas", "revisionHistoryLimit", "selector",
    "strategy", "template",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deployment:
    """An apps/v1 Deployment."""

    meta: Metadata
    replicas: int


def read_deployment(obj: Object, root: Field) -> Deployment:
    """Read a Deployment."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows(*_SPEC_FIELDS)
    spec.required()
    template, selector = spec["template"].knows("metadata", "spec"), spec["selector"]
    if template.required() and template["spec"].required():
        read_pod_spec(template["spec"])
    if selector.required():
        labels = template["metadata"]["labels"].mapping()
        for name, value in selector["matchLabels"].mapping().items():
            if labels.get(name) != value:
                selector["matchLabels"][name].fault(
                    "the pod template does not have this label", f"add {name}: {value} to spec.template.metadata.labels"
                )
    return Deployment(read_metadata(obj, root), spec["replicas"].integer(1, 0, 1 << 31))
