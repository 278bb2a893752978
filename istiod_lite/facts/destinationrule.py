"""DestinationRules (networking.istio.io), as far as what they ask for is exactly what a TrafficPolicy can say.

Everything else is refused by name: a rule that is only half kept to would be worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import HEADER_NAME, HOSTNAME
from istiod_lite.facts.loadbalancing import COOKIE, COOKIE_PATH
from istiod_lite.facts.metadata import Metadata, read_metadata
from istiod_lite.facts.outlierdetection import read_span
from mesh.traffic import HashOn, HashSource, LoadBalancing, OutlierDetection, Spread, Terms

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

_MOST: Final = 2**31 - 1
_LONGEST: Final = 3600.0
_SPREADS: Final = {
    "LEAST_REQUEST": Spread.LEAST_REQUEST,
    "LEAST_CONN": Spread.LEAST_REQUEST,
    "ROUND_ROBIN": Spread.ROUND_ROBIN,
}
_ERRORS: Final = 5
"""Istio's default of consecutive5xxErrors."""


@dataclass(frozen=True, slots=True)
class DestinationRule:
    """What the service with this host takes; a host without a dot is that of a Service of the rule's namespace."""

    meta: Metadata
    host: str
    terms: Terms


def read_destination_rule(obj: Object, root: Field) -> DestinationRule:
    """Read a DestinationRule."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("exportTo", "host", "subsets", "trafficPolicy", "workloadSelector")
    spec.required()
    spec["host"].required()
    _refuse(spec, "subsets", mend="make a Service for each, and weigh these as backends of an HTTPRoute")
    _refuse(spec, "workloadSelector", mend="remove it: the rule is kept to by the waypoint of its host")
    if spec["exportTo"].given and spec["exportTo"].texts() != ("*",):
        spec["exportTo"].fault("a rule is for every caller of its host", "remove it")
    policy = spec["trafficPolicy"].knows(
        "connectionPool", "loadBalancer", "outlierDetection", "portLevelSettings", "proxyProtocol", "tls", "tunnel",
        "retryBudget",
    )  # fmt: skip
    _refuse(policy, "portLevelSettings", mend="write what is for all ports")
    _refuse(policy, "tls", mend="remove it: the mesh encrypts by itself, and to nothing outside")
    _refuse(policy, "proxyProtocol", "retryBudget", "tunnel")
    pool = policy["connectionPool"].knows("http", "tcp")
    tcp, http = _read_tcp(pool["tcp"]), _read_http(pool["http"])
    terms = Terms(
        requests=_count(http["http2MaxRequests"]),
        connections=_count(tcp["maxConnections"]),
        pending=_count(http["http1MaxPendingRequests"]),
        retries=_count(http["maxRetries"], 0),
        balancing=_read_load_balancer(policy["loadBalancer"]),
        outliers=_read_outlier_detection(policy["outlierDetection"]),
    )
    return DestinationRule(read_metadata(obj, root), spec["host"].text(shape=HOSTNAME), terms)


def _read_tcp(at: Field) -> Field:
    others = ("connectTimeout", "idleTimeout", "maxConnectionDuration", "tcpKeepalive")
    _refuse(at.knows("maxConnections", *others), *others)
    return at


def _read_http(at: Field) -> Field:
    others = (
        "h2UpgradePolicy", "idleTimeout", "maxConcurrentStreams", "maxRequestsPerConnection", "useClientProtocol",
    )  # fmt: skip
    _refuse(at.knows("http1MaxPendingRequests", "http2MaxRequests", "maxRetries", *others), *others)
    return at


def _read_load_balancer(at: Field) -> LoadBalancing | None:
    names = ("consistentHash", "localityLbSetting", "simple", "warmup", "warmupDurationSecs")
    if not at.knows(*names).given:
        return None
    _refuse(at, "localityLbSetting", mend="set trafficDistribution on the Service")
    warmup = at["warmup"].knows("aggression", "duration", "minimumPercent")
    for name, only in (("aggression", 1), ("minimumPercent", 10)):
        if warmup[name].given and warmup[name].value != only:
            warmup[name].fault(
                f"a new endpoint begins with a tenth and gains evenly: {only} is the only value", "remove it"
            )
    slow = read_span(warmup["duration"], read_span(at["warmupDurationSecs"], 0.0, _LONGEST), _LONGEST)
    if at["consistentHash"].given:
        if at["simple"].given or slow:
            at.fault("consistentHash goes with neither simple nor warmup", "keep one of them")
        return LoadBalancing(Spread.CONSISTENT_HASH, _read_consistent_hash(at["consistentHash"]))
    simple = at["simple"].choice(("UNSPECIFIED", *_SPREADS, "RANDOM", "PASSTHROUGH"), "LEAST_REQUEST")
    if simple in {"RANDOM", "PASSTHROUGH"}:
        _refuse(at, "simple", what=f"simple: {simple}", mend="write one of LEAST_REQUEST, ROUND_ROBIN")
    return LoadBalancing(_SPREADS.get(simple, Spread.LEAST_REQUEST), None, slow)


def _read_consistent_hash(at: Field) -> HashOn:
    known = ("httpCookie", "httpHeaderName", "useSourceIp")
    others = ("httpQueryParameterName", "maglev", "minimumRingSize", "ringHash")
    _refuse(at.knows(*known, *others), *others)
    by_address = at["useSourceIp"].boolean()
    if at["httpCookie"].given + at["httpHeaderName"].given + by_address != 1:
        at.fault("exactly one thing is hashed", f"write one of {', '.join(known)}")
        return HashOn(HashSource.ADDRESS)
    if at["httpHeaderName"].given:
        return HashOn(HashSource.HEADER, at["httpHeaderName"].text(shape=HEADER_NAME).lower())
    if by_address:
        return HashOn(HashSource.ADDRESS)
    cookie = at["httpCookie"].knows("attributes", "name", "path", "ttl")
    _refuse(cookie, "attributes")
    cookie["name"].required()
    # A lifetime of nothing means, in Istio, as long as the browser lives.
    ttl = cookie["ttl"].duration() or None
    return HashOn(HashSource.COOKIE, cookie["name"].text(shape=COOKIE), cookie["path"].text("/", COOKIE_PATH), ttl)


def _read_outlier_detection(at: Field) -> OutlierDetection | None:
    others = ("consecutiveErrors", "consecutiveLocalOriginFailures", "splitExternalLocalOriginErrors")
    at.knows(
        "baseEjectionTime", "consecutive5xxErrors", "consecutiveGatewayErrors", "interval", "maxEjectionPercent",
        "minHealthPercent", *others,
    )  # fmt: skip
    _refuse(at, *others)
    errors = at["consecutive5xxErrors"].integer(_ERRORS, 0, _MOST)
    gateway_errors = at["consecutiveGatewayErrors"].integer(0, 0, _MOST)
    if not at.given or not (errors or gateway_errors):
        return None
    default = OutlierDetection()
    return OutlierDetection(
        errors=errors or None,
        gateway_errors=gateway_errors or None,
        interval=read_span(at["interval"], default.interval, _LONGEST),
        ejection=read_span(at["baseEjectionTime"], default.ejection, _LONGEST),
        most_percent=at["maxEjectionPercent"].integer(default.most_percent, 0, 100),
        panic_percent=at["minHealthPercent"].integer(default.panic_percent, 0, 100),
    )


def _count(at: Field, least: int = 1) -> int | None:
    return at.integer(1, least, _MOST) if at.given else None


def _refuse(at: Field, *names: str, what: str = "", mend: str = "remove it, or nothing of the rule is kept to") -> None:
    """Say of each of these fields that is given that no waypoint would keep to it."""
    for name in names:
        if at[name].given:
            at[name].fault(f"{what or name} is not supported", mend)
