"""Traffic policies as `ambit.waypoint.TrafficPolicy`."""

from __future__ import annotations

from math import isfinite
from typing import Final

from mesh.traffic import Rate, Share, TrafficPolicy
from mesh.xds.pb import waypoint_pb2 as pb

_SHARES: Final = {Share.CALLER: pb.Share.SHARE_CALLER, Share.SERVICE: pb.Share.SHARE_SERVICE}
_SHARE_OF: Final[dict[int, Share]] = {number: share for share, number in _SHARES.items()}


def traffic_message(policy: TrafficPolicy) -> pb.TrafficPolicy:
    """The policy."""
    rate = policy.rate
    return pb.TrafficPolicy(
        service=policy.service,
        namespace=policy.namespace,
        name=policy.name,
        rate=pb.Rate(requests=rate.requests, per=rate.per, burst=rate.burst, share=_SHARES[rate.share])
        if rate is not None
        else None,
        requests=policy.requests,
    )


def read_traffic(message: pb.TrafficPolicy) -> TrafficPolicy:
    """The policy; ValueError with the reason if it cannot be relied on."""
    requests = message.requests if message.HasField("requests") else None
    if requests == 0:
        raise ValueError("no request at all is no limit")
    return TrafficPolicy(
        service=message.service,
        namespace=message.namespace,
        name=message.name,
        rate=_rate(message.rate) if message.HasField("rate") else None,
        requests=requests,
    )


def _rate(message: pb.Rate) -> Rate:
    if message.share not in _SHARE_OF:
        raise ValueError(f"unknown share {message.share} of a rate")
    if not message.requests or not message.burst or not isfinite(message.per) or message.per <= 0:
        raise ValueError(f"{message.requests} in {message.per:g} s, {message.burst} at once, is no rate")
    return Rate(message.requests, message.per, message.burst, _SHARE_OF[message.share])
