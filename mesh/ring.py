"""Consistent hashing: a ring of points, of which every member has a number that its weight says.

A key belongs to the first point at or after it. The points of a member depend on nothing but the member, so that one
which comes or goes moves no keys but its own. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final

_POINTS: Final = 128
"""Of a member of weight 1: shares are even within about a tenth."""
_MOST: Final = 1024
"""Of one member: a weight above 8 counts as 8."""
_EIGHT: Final = Struct("<8Q")


def hashed(text: bytes) -> int:
    """Where on a ring a text is: from 0 to 2**64 - 1."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


class Ring:
    """Members by their uid, each with its weight."""

    __slots__ = ("_owners", "_points")

    def __init__(self, members: Iterable[tuple[str, int]]) -> None:
        marks = sorted((point, uid) for uid, weight in members for point in _points(uid, weight))
        self._points = [point for point, _ in marks]
        self._owners = [uid for _, uid in marks]

    def find(self, key: int, avoided: Collection[str] = ()) -> str | None:
        """The member that the key belongs to; were the avoided ones not there, who would have it."""
        owners, at = self._owners, bisect_left(self._points, key)
        for step in range(len(owners)):
            owner = owners[(at + step) % len(owners)]
            if owner not in avoided:
                return owner
        return None


@lru_cache(maxsize=4096)
def _points(uid: str, weight: int) -> tuple[int, ...]:
    count = min(_MOST, _POINTS * weight)
    digests = (blake2b(f"{uid}#{number}".encode()).digest() for number in range(-(-count // 8)))
    return tuple(point for digest in digests for point in _EIGHT.unpack(digest))[:count]
