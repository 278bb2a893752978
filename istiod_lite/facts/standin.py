"""What stands in for a policy that cannot be read and of which no good version is known.

A policy that silently is not there would let everybody in. So whatever a broken AuthorizationPolicy is for is denied,
whatever a broken PeerAuthentication is for takes no plain text, and the targets of a broken RequestAuthentication
believe no token; if not even that can be told, its namespace is
meant, and the mesh where it stands in the root namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from istiod_lite.facts.authorizationpolicy import (
    AuthorizationPolicy,
    PolicyRule,
    read_targets,
    read_workload_selector,
)
from istiod_lite.facts.field import Reading
from istiod_lite.facts.metadata import read_metadata
from istiod_lite.facts.peerauthentication import PeerAuthentication
from istiod_lite.facts.requestauthentication import NOBODY, RequestAuthentication

if TYPE_CHECKING:
    from istiod_lite.object import Object
    from istiod_lite.problem import Problem


def stand_in(
    obj: Object, problems: list[Problem]
) -> AuthorizationPolicy | PeerAuthentication | RequestAuthentication | None:
    """The stand-in for an object with these problems; None if nobody relies on such an object for protection."""
    if obj.key.group != "security.istio.io" or not any(one.grave for one in problems):
        return None
    reading = Reading(obj)
    root = reading.root()
    meta = read_metadata(obj, root)
    reading.problems.clear()
    selector, targets = read_workload_selector(root["spec"]["selector"]), read_targets(root["spec"], obj.namespace)
    if reading.problems:
        selector, targets = None, ()
    if obj.kind == "PeerAuthentication":
        return PeerAuthentication(meta, selector, "STRICT", ())
    worst = next(one for one in problems if one.grave)
    fault = f"{worst.field}: {worst.message}"
    if obj.kind == "RequestAuthentication":
        return RequestAuthentication(meta, selector, targets, (NOBODY,), fault)
    if obj.kind != "AuthorizationPolicy":
        return None
    return AuthorizationPolicy(meta, "DENY", selector, targets, (PolicyRule(),), dry_run=False, fault=fault)
