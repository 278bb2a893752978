"""TrafficPolicies (policy.ambit-mesh.dev), our own: what Gateway API has no field for, in its policy-attachment shape.

The schema that an API server checks is `crds/trafficpolicies.yaml`; this reads the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.faults import read_faults
from istiod_lite.facts.field import DNS_NAME, GROUP, KIND
from istiod_lite.facts.loadbalancing import read_load_balancing
from istiod_lite.facts.metadata import Metadata, read_metadata
from istiod_lite.facts.outlierdetection import read_outlier_detection
from istiod_lite.facts.route import GATEWAY_GROUP, ISTIO_GROUP
from mesh.traffic import Rate, Share, Terms

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

POLICY_GROUP: Final = "policy.ambit-mesh.dev"
_MOST: Final = 1_000_000
_LONGEST: Final = 3600.0
_KINDS: Final = (
    ("", "Service"), (ISTIO_GROUP, "ServiceEntry"), (GATEWAY_GROUP, "HTTPRoute"), (GATEWAY_GROUP, "GRPCRoute"),
)  # fmt: skip
_OF_ROUTES: Final = frozenset({"rateLimit", "maxRequests", "faults"})
_TERMS: Final = (
    "rateLimit", "maxRequests", "maxConnections", "maxPendingRequests", "maxRetries", "loadBalancing",
    "outlierDetection", "faults",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    """A Service, ServiceEntry or route of the policy's own namespace."""

    group: str
    kind: str
    name: str

    @property
    def is_route(self) -> bool:
        """Whether the policy is for what comes by a route, wherever that is attached."""
        return self.group == GATEWAY_GROUP

    @property
    def title(self) -> str:
        """How people know it, but for its namespace."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """What its targets take."""

    meta: Metadata
    targets: tuple[PolicyTarget, ...]
    terms: Terms


def read_traffic_policy(obj: Object, root: Field) -> TrafficPolicy:
    """Read a TrafficPolicy."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("targetRefs", *_TERMS)
    if spec.required() and not any(spec[name].given for name in _TERMS):
        spec.fault("it asks for nothing", "add one of " + ", ".join(_TERMS))
    references = spec["targetRefs"].each(16, 1) if spec["targetRefs"].required() else []
    targets = tuple(_read_target(one) for one in references)
    spec["targetRefs"].differ(references, lambda one: (one["kind"].value, one["name"].value), "target")
    if any(one.is_route for one in targets):
        for name in _TERMS:
            if name not in _OF_ROUTES and spec[name].given:
                spec[name].fault("a route has no endpoints of its own", "say it of the Service that the route leads to")
    return TrafficPolicy(read_metadata(obj, root), targets, _read_terms(spec))


def _read_terms(spec: Field) -> Terms:
    return Terms(
        rate=_read_rate(spec["rateLimit"]) if spec["rateLimit"].given else None,
        requests=_most(spec["maxRequests"]),
        connections=_most(spec["maxConnections"]),
        pending=_most(spec["maxPendingRequests"]),
        retries=_most(spec["maxRetries"], 0),
        balancing=read_load_balancing(spec["loadBalancing"]),
        outliers=read_outlier_detection(spec["outlierDetection"]),
        faults=read_faults(spec["faults"]),
    )


def _most(at: Field, least: int = 1) -> int | None:
    return at.integer(1, least, _MOST) if at.given else None


def _read_target(at: Field) -> PolicyTarget:
    at.knows("group", "kind", "name")
    at["kind"].required()
    at["name"].required()
    target = PolicyTarget(
        at["group"].text("", GROUP), at["kind"].text("Service", KIND), at["name"].text(shape=DNS_NAME)
    )
    if (target.group, target.kind) not in _KINDS:
        known = ", ".join(f"{kind} of group {group or repr('')}" for group, kind in _KINDS)
        at.fault("a TrafficPolicy is for Services, ServiceEntries and routes", f"write one of {known}")
    return target


def _read_rate(at: Field) -> Rate:
    at.knows("requests", "per", "burst", "share")
    at["requests"].required()
    requests = at["requests"].integer(1, 1, _MOST)
    per = at["per"].duration() if at["per"].given else 1.0
    if per is not None and not 0 < per <= _LONGEST:
        at["per"].fault(f"{per:g} s is out of range", "more than nothing, at most 1h")
    burst = at["burst"].integer(requests, 1, _MOST)
    share = at["share"].choice((one.value for one in Share), Share.CALLER.value)
    return Rate(requests, per or 1.0, burst, Share(share))
