"""The mesh's own configuration as Istio keeps it: `mesh` in ConfigMap `istio` of the root namespace.

Of it, the external authorizers that CUSTOM policies name are read (`extensionProviders`, `envoyExtAuthzGrpc`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from istiod_lite.facts.field import SOME_TEXT, Field, Shape
from istiod_lite.facts.metadata import Metadata, read_metadata
from mesh.policy import Authorizer

if TYPE_CHECKING:
    from istiod_lite.object import Object

NAME: Final = "istio"
_KIND: Final = "envoyExtAuthzGrpc"
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SERVICE: Final = Shape(
    re.compile(rf"({_LABEL}/)?{_LABEL}(\.{_LABEL})+"), 512, "a host name such as authz.ops.svc.cluster.local"
)
_LONGEST: Final = 60.0
_ON_ERROR: Final = 403


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """A ConfigMap named `istio`: the authorizers by the names that policies call them."""

    meta: Metadata
    authorizers: tuple[tuple[str, Authorizer], ...]


def read_mesh_config(obj: Object, root: Field) -> MeshConfig:
    """Read it; what of the mesh's configuration is not named above has no effect."""
    at = root["data"]["mesh"]
    try:
        content = yaml.load(at.text(), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        at.fault("this is not YAML", "mend its syntax")
        content = None
    providers = at.holding(content if isinstance(content, dict) else {})["extensionProviders"]
    found = [(one["name"].text(), _read_authorizer(one[_KIND])) for one in providers.each(64) if one[_KIND].given]
    providers.differ(providers.each(64), lambda one: one["name"].value, "name")
    return MeshConfig(read_metadata(obj, root), tuple(found))


def _read_authorizer(at: Field) -> Authorizer:
    at.knows("service", "port", "timeout", "failOpen", "statusOnError")
    for name in ("service", "port"):
        at[name].required()
    timeout = at["timeout"].duration() if at["timeout"].given else 0.6
    if timeout is not None and not 0 < timeout <= _LONGEST:
        at["timeout"].fault(f"{timeout:g} s is out of range", "more than nothing, at most 1m")
    status = at["statusOnError"].text(str(_ON_ERROR), SOME_TEXT)
    if not re.fullmatch(r"[45][0-9][0-9]", status):
        at["statusOnError"].fault(f"{status!r} is not the status of a refusal", 'write it like "503"')
        status = str(_ON_ERROR)
    return Authorizer(
        service=_key(at["service"].text(shape=_SERVICE)) if at["service"].given else "",
        port=at["port"].port(),
        timeout=timeout or 0.6,
        fail_open=at["failOpen"].boolean(),
        status=int(status),
    )


def _key(service: str) -> str:
    """A service's key in a snapshot: its namespace is stated, or the second part of the cluster's own host names."""
    return service if "/" in service or not service else f"{service.split('.')[1]}/{service}"
