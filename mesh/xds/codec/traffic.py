"""Traffic policies as `ambit.waypoint.TrafficPolicy`."""

from __future__ import annotations

from dataclasses import fields
from math import isfinite
from typing import Final

from mesh.traffic import (
    Abort,
    Delay,
    Faults,
    HashOn,
    HashSource,
    LoadBalancing,
    OutlierDetection,
    Rate,
    Share,
    Spread,
    Terms,
    TrafficPolicy,
)
from mesh.xds.pb import waypoint_pb2 as pb

_SHARES: Final = {Share.CALLER: pb.Share.SHARE_CALLER, Share.SERVICE: pb.Share.SHARE_SERVICE}
_SHARE_OF: Final[dict[int, Share]] = {number: share for share, number in _SHARES.items()}
_SPREADS: Final = {
    Spread.LEAST_LATENCY: pb.Spread.LEAST_LATENCY,
    Spread.LEAST_REQUEST: pb.Spread.LEAST_REQUEST,
    Spread.ROUND_ROBIN: pb.Spread.ROUND_ROBIN,
    Spread.CONSISTENT_HASH: pb.Spread.CONSISTENT_HASH,
}
_SPREAD_OF: Final[dict[int, Spread]] = {number: spread for spread, number in _SPREADS.items()}
_SOURCES: Final = {
    HashSource.HEADER: pb.HashSource.HASH_HEADER,
    HashSource.COOKIE: pb.HashSource.HASH_COOKIE,
    HashSource.IDENTITY: pb.HashSource.HASH_IDENTITY,
    HashSource.ADDRESS: pb.HashSource.HASH_ADDRESS,
}
_SOURCE_OF: Final[dict[int, HashSource]] = {number: source for source, number in _SOURCES.items()}

_KIND: Final = "TrafficPolicy"
_COUNTS: Final = ("requests", "connections", "pending", "retries")
_OUTLIERS: Final = tuple(one.name for one in fields(OutlierDetection))
_MAYBE: Final = ("errors", "gateway_errors", "success_percent")


def traffic_message(policy: TrafficPolicy) -> pb.TrafficPolicy:
    """The policy."""
    terms = policy.terms
    return pb.TrafficPolicy(
        service=policy.service,
        namespace=policy.namespace,
        name=policy.name,
        route=policy.route,
        kind=policy.kind if policy.kind != _KIND else "",
        rate=_rate_message(terms.rate) if terms.rate is not None else None,
        requests=terms.requests,
        connections=terms.connections,
        pending=terms.pending,
        retries=terms.retries,
        balancing=_balancing_message(terms.balancing) if terms.balancing is not None else None,
        outliers=_outliers_message(terms.outliers) if terms.outliers is not None else None,
        faults=_faults_message(terms.faults) if terms.faults is not None else None,
    )


def read_traffic(message: pb.TrafficPolicy) -> TrafficPolicy:
    """The policy; ValueError with the reason if it cannot be relied on."""
    counts = {name: getattr(message, name) if message.HasField(name) else None for name in _COUNTS}
    if any(counts[name] == 0 for name in _COUNTS if name != "retries"):
        raise ValueError("nothing at all is no limit")
    terms = Terms(
        rate=_rate(message.rate) if message.HasField("rate") else None,
        **counts,
        balancing=_balancing(message.balancing) if message.HasField("balancing") else None,
        outliers=_outliers(message.outliers) if message.HasField("outliers") else None,
        faults=_faults(message.faults) if message.HasField("faults") else None,
    )
    return TrafficPolicy(message.service, message.namespace, message.name, terms, message.route, message.kind or _KIND)


def _rate_message(rate: Rate) -> pb.Rate:
    return pb.Rate(requests=rate.requests, per=rate.per, burst=rate.burst, share=_SHARES[rate.share])


def _rate(message: pb.Rate) -> Rate:
    if message.share not in _SHARE_OF:
        raise ValueError(f"unknown share {message.share} of a rate")
    if not message.requests or not message.burst or not isfinite(message.per) or message.per <= 0:
        raise ValueError(f"{message.requests} in {message.per:g} s, {message.burst} at once, is no rate")
    return Rate(message.requests, message.per, message.burst, _SHARE_OF[message.share])


def _balancing_message(balancing: LoadBalancing) -> pb.LoadBalancing:
    on = balancing.hash_on
    return pb.LoadBalancing(
        spread=_SPREADS[balancing.spread],
        hash_on=pb.HashOn(source=_SOURCES[on.source], name=on.name, path=on.path, ttl=on.ttl)
        if on is not None
        else None,
        slow_start=balancing.slow_start,
    )


def _balancing(message: pb.LoadBalancing) -> LoadBalancing:
    spread = _SPREAD_OF.get(message.spread)
    if spread is None:
        raise ValueError(f"unknown way {message.spread} to spread requests")
    if message.HasField("hash_on") is not (spread is Spread.CONSISTENT_HASH):
        raise ValueError(f"{spread.value} and what is hashed contradict each other")
    hash_on = _hash_on(message.hash_on) if message.HasField("hash_on") else None
    return LoadBalancing(spread, hash_on, _seconds(message.slow_start, "to start slowly"))


def _hash_on(message: pb.HashOn) -> HashOn:
    source = _SOURCE_OF.get(message.source)
    if source is None:
        raise ValueError(f"unknown source {message.source} of a hash")
    ttl = _seconds(message.ttl, "of a cookie") if message.HasField("ttl") else None
    return HashOn(source, message.name, message.path, ttl)


def _outliers_message(outliers: OutlierDetection) -> pb.OutlierDetection:
    return pb.OutlierDetection(**{name: getattr(outliers, name) for name in _OUTLIERS})


def _outliers(message: pb.OutlierDetection) -> OutlierDetection:
    for name in ("interval", "ejection"):
        if not _seconds(getattr(message, name), f"of {name}"):
            raise ValueError(f"{name} takes no time at all")
    if max(message.success_percent, message.most_percent, message.panic_percent) > 100:
        raise ValueError("more than 100 percent of endpoints or answers")
    if any(message.HasField(name) and not getattr(message, name) for name in ("errors", "gateway_errors")):
        raise ValueError("an endpoint is no outlier after 0 errors")
    given = {name: getattr(message, name) for name in _OUTLIERS if name not in _MAYBE or message.HasField(name)}
    return OutlierDetection(**given)


def _faults_message(faults: Faults) -> pb.Faults:
    delay, abort = faults.delay, faults.abort
    return pb.Faults(
        delay=pb.Delay(seconds=delay.seconds, percent=delay.percent) if delay is not None else None,
        abort=pb.Abort(status=abort.status, grpc_status=abort.grpc_status, percent=abort.percent)
        if abort is not None
        else None,
    )


def _faults(message: pb.Faults) -> Faults:
    delay, abort = message.delay, message.abort
    for one in (delay, abort):
        if not 0 <= one.percent <= 100:
            raise ValueError(f"{one.percent:g} percent of requests cannot be")
    return Faults(
        Delay(_seconds(delay.seconds, "of a delay"), delay.percent) if message.HasField("delay") else None,
        _abort(abort) if message.HasField("abort") else None,
    )


def _abort(message: pb.Abort) -> Abort:
    status = message.status if message.HasField("status") else None
    grpc_status = message.grpc_status if message.HasField("grpc_status") else None
    if status is None and grpc_status is None:
        raise ValueError("an abort without a status")
    if (status is not None and not 400 <= status <= 599) or (grpc_status is not None and not 1 <= grpc_status <= 16):
        raise ValueError(f"status {status or grpc_status} is no error")
    return Abort(status, grpc_status, message.percent)


def _seconds(value: float, what: str) -> float:
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"{value:g} s {what} are no time")
    return value
