"""Which requests belong to the same caller, for a service whose policy hashes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.ring import hashed
from mesh.route import HeaderModifier
from mesh.traffic import HashOn, HashSource
from waypoint.http.events import value

if TYPE_CHECKING:
    from mesh.balance import Dice
    from waypoint.http.events import RequestHead
    from waypoint.plan import Caller


@dataclass(frozen=True, slots=True)
class Affinity:
    """Where on the ring a request is, and the cookie that it is to bring next time, where it brought none."""

    key: int
    made: HeaderModifier | None = None


def affinity(on: HashOn, request: RequestHead | None, caller: Caller, dice: Dice) -> Affinity | None:
    """Of one request, or of a connection where there is none; None when there is nothing to go by."""
    match on.source:
        case HashSource.IDENTITY:
            return Affinity(hashed(str(caller.identity).encode()))
        case HashSource.ADDRESS:
            return Affinity(hashed(caller.ip.packed))
        case HashSource.HEADER:
            found = value(request.headers, on.name.encode()) if request is not None else None
            return Affinity(hashed(found)) if found is not None else None
        case HashSource.COOKIE:
            return _by_cookie(on, request, dice) if request is not None else None


def _by_cookie(on: HashOn, request: RequestHead, dice: Dice) -> Affinity:
    name = on.name.encode()
    for field, text in request.headers:
        if field == b"cookie":
            for pair in text.split(b";"):
                found, equals, content = pair.strip().partition(b"=")
                if equals and found == name and content:
                    return Affinity(hashed(content))
    fresh = f"{int(dice() * 2**48):012x}"
    return Affinity(hashed(fresh.encode()), HeaderModifier(add=(("set-cookie", _cookie(on, fresh)),)))


def _cookie(on: HashOn, content: str) -> str:
    parts = [f"{on.name}={content}", f"Path={on.path or '/'}", "HttpOnly"]
    if on.ttl is not None:
        parts.insert(1, f"Max-Age={on.ttl:.0f}")
    return "; ".join(parts)
