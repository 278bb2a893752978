"""PeerAuthentications: whether plain text is taken at all, by Istio's API (security.istio.io, Peer Authentication)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.authorizationpolicy import read_workload_selector
from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

_MODES: Final = ("UNSET", "DISABLE", "PERMISSIVE", "STRICT")


@dataclass(frozen=True, slots=True)
class PeerAuthentication:
    """A security.istio.io PeerAuthentication. A mode is STRICT, PERMISSIVE, DISABLE or UNSET (inherit)."""

    meta: Metadata
    selector: tuple[tuple[str, str], ...] | None
    mode: str
    ports: tuple[tuple[int, str], ...]
    """Modes of single ports of the workload, in the order of their numbers."""


def read_peer_authentication(obj: Object, root: Field) -> PeerAuthentication:
    """Read a PeerAuthentication."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("mtls", "portLevelMtls", "selector")
    selector, levels = read_workload_selector(spec["selector"]), spec["portLevelMtls"]
    if levels.given and selector is None:
        levels.fault("ports are those of selected workloads", "add a selector with matchLabels")
    numbers = sorted(levels.value) if isinstance(levels.value, dict) else []
    levels.knows(*numbers)
    ports = []
    for number in numbers:
        if not number.isdigit() or not 0 < int(number) < 65536:
            levels[number].fault(f"{number!r} is not a port", "a number from 1 to 65535")
            continue
        ports.append((int(number), _read_mode(levels[number])))
    return PeerAuthentication(read_metadata(obj, root), selector, _read_mode(spec["mtls"]), tuple(sorted(ports)))


def _read_mode(at: Field) -> str:
    return at.knows("mode")["mode"].choice(_MODES, "UNSET")
