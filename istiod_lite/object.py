"""A Kubernetes object as it was read from a file, before anything in it is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER_SCOPED = frozenset({
    "APIService", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "GatewayClass", "IngressClass",
    "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass", "RuntimeClass",
    "StorageClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration", "XMesh",
})  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """What tells one object from every other: API group, kind, namespace ("" if cluster-scoped), name."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Kind and name as people write them."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Object:
    """One document: its key, the file and line (from 1; 0 unknown) where it begins, and its untyped body."""

    key: ObjectKey
    source: str
    line: int
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The kind, such as HTTPRoute."""
        return self.key.kind

    @property
    def namespace(self) -> str:
        """The namespace, "default" where a namespaced object names none."""
        return self.key.namespace

    @property
    def name(self) -> str:
        """The name."""
        return self.key.name
