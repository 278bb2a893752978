"""The `outlierDetection` of a TrafficPolicy: which endpoints are passed over for what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh.traffic import OutlierDetection

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field

_DETECTORS: Final = ("consecutive5xx", "consecutiveGatewayErrors", "successRate", "retryAfter")
_BOUNDS: Final = ("interval", "ejectionTime", "maxEjectionPercent", "panicThreshold")
_LONGEST: Final = 3600.0
_DEFAULT: Final = OutlierDetection()


def read_outlier_detection(at: Field) -> OutlierDetection | None:
    """Who is passed over; None if nothing is said."""
    if not at.knows(*_DETECTORS, *_BOUNDS).given:
        return None
    if not any(at[name].given for name in _DETECTORS):
        at.fault("it detects nothing", "add one of " + ", ".join(_DETECTORS))
    rate = at["successRate"].knows("atLeast", "minimumRequests")
    if rate.given:
        rate["atLeast"].required()
    return OutlierDetection(
        errors=_count(at["consecutive5xx"]),
        gateway_errors=_count(at["consecutiveGatewayErrors"]),
        success_percent=rate["atLeast"].integer(50, 1, 100) if rate.given else None,
        least_requests=rate["minimumRequests"].integer(_DEFAULT.least_requests, 1, 1_000_000),
        interval=read_span(at["interval"], _DEFAULT.interval, _LONGEST),
        retry_after=at["retryAfter"].boolean(),
        ejection=read_span(at["ejectionTime"], _DEFAULT.ejection, _LONGEST),
        most_percent=at["maxEjectionPercent"].integer(_DEFAULT.most_percent, 0, 100),
        panic_percent=at["panicThreshold"].integer(_DEFAULT.panic_percent, 0, 100),
    )


def read_span(at: Field, default: float, longest: float) -> float:
    """Seconds of a duration that is more than nothing."""
    span = at.duration()
    if span is None:
        return default
    if not 0 < span <= longest:
        at.fault(f"{span:g} s is out of range", f"more than nothing, at most {longest:g}s")
        return default
    return span


def _count(at: Field) -> int | None:
    return at.integer(1, 1, 1000) if at.given else None
