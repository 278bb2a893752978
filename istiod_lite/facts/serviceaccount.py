"""Service accounts: the names that identities are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A v1 ServiceAccount."""

    meta: Metadata


def read_service_account(obj: Object, root: Field) -> ServiceAccount:
    """Read a ServiceAccount."""
    root.knows("apiVersion", "kind", "metadata", "secrets", "imagePullSecrets", "automountServiceAccountToken")
    return ServiceAccount(read_metadata(obj, root))
