"""The `loadBalancing` of a TrafficPolicy: how requests are spread over a Service's endpoints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import HEADER_NAME, Shape
from istiod_lite.facts.outlierdetection import read_span
from mesh.traffic import HashOn, HashSource, LoadBalancing, Spread

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field

COOKIE: Final = Shape(HEADER_NAME.pattern, 64, "a cookie's name")
COOKIE_PATH: Final = Shape(re.compile(r"/[!-:<-~]*"), 1024, "a path that begins with '/', without ';' and blanks")
_LONGEST: Final = 3600.0
_SOURCES: Final = {"Identity": HashSource.IDENTITY, "Address": HashSource.ADDRESS}


def read_load_balancing(at: Field) -> LoadBalancing | None:
    """How requests are spread; None if nothing is said."""
    if not at.knows("policy", "hashOn", "slowStart").given:
        return None
    at["policy"].required()
    spread = Spread(at["policy"].choice((one.value for one in Spread), Spread.LEAST_LATENCY.value))
    hash_on = _read_hash_on(at["hashOn"]) if at["hashOn"].given else None
    hashed = spread is Spread.CONSISTENT_HASH
    if hashed is not at["hashOn"].given:
        at["hashOn"].fault(
            "ConsistentHash needs to know what is hashed" if hashed else f"{spread.value} hashes nothing",
            "add hashOn: {header}, {cookie} or {source}" if hashed else "remove it, or write policy: ConsistentHash",
        )
        return LoadBalancing()
    slow_start = read_span(at["slowStart"], 0.0, _LONGEST)
    if hashed and slow_start:
        at["slowStart"].fault("ConsistentHash gives an endpoint its whole share at once", "remove it")
    return LoadBalancing(spread, hash_on, slow_start)


def _read_hash_on(at: Field) -> HashOn:
    at.knows("header", "cookie", "source")
    if sum(at[name].given for name in ("header", "cookie", "source")) != 1:
        at.fault("exactly one thing is hashed", "write one of header, cookie and source")
    if at["header"].given:
        return HashOn(HashSource.HEADER, at["header"].text(shape=HEADER_NAME).lower())
    if at["cookie"].given:
        return _read_cookie(at["cookie"])
    return HashOn(_SOURCES[at["source"].choice(_SOURCES, "Identity")])


def _read_cookie(at: Field) -> HashOn:
    at.knows("name", "path", "ttl")
    at["name"].required()
    return HashOn(
        HashSource.COOKIE, at["name"].text(shape=COOKIE), at["path"].text("/", COOKIE_PATH), at["ttl"].duration()
    )
