"""Resources found by something other than their key: all that stand at an address, all endpoints of a service. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

_P = TypeVar("_P", bound=Hashable)
_R = TypeVar("_R")


class Index(Generic[_P, _R]):
    """Resources by the places at which they stand. Never changed: `after` makes the next one, sharing what it can.

    What `after` costs grows with the changes, not with the index, but for one flat copy of a dictionary.
    """

    __slots__ = ("_groups", "_key", "_places")

    def __init__(
        self,
        key: Callable[[_R], str],
        places: Callable[[_R], Iterable[_P]],
        groups: Mapping[_P, tuple[_R, ...]] | None = None,
    ) -> None:
        self._key = key
        self._places = places
        self._groups: Mapping[_P, tuple[_R, ...]] = {} if groups is None else groups

    def at(self, place: _P) -> tuple[_R, ...]:
        """All that stand there, in the order in which they came."""
        return self._groups.get(place, ())

    def after(self, replaced: Iterable[tuple[_R | None, _R | None]]) -> Index[_P, _R]:
        """The index after each of these pairs: what was under a key, and what is under it now; None is nothing."""
        groups: dict[_P, dict[str, _R]] = {}

        def group(place: _P) -> dict[str, _R]:
            if place not in groups:
                groups[place] = {self._key(one): one for one in self._groups.get(place, ())}
            return groups[place]

        for old, new in replaced:
            places = {} if new is None else dict.fromkeys(self._places(new))
            for place in () if old is None else self._places(old):
                if place not in places:
                    group(place).pop(self._key(old), None)  # type: ignore[arg-type] # not None where it has places
            for place in places:
                group(place)[self._key(new)] = new  # type: ignore[arg-type,assignment] # likewise
        return self if not groups else Index(self._key, self._places, self._with(groups))

    def _with(self, groups: Mapping[_P, Mapping[str, _R]]) -> Mapping[_P, tuple[_R, ...]]:
        found = dict(self._groups)
        for place, members in groups.items():
            if members:
                found[place] = tuple(members.values())
            else:
                found.pop(place, None)
        return found
