"""Strict reading of a document: exactly the known fields, each of its type, or a ChannelError that says which."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from ztunnel.channel.frames import ChannelError, Document

_T = TypeVar("_T")


class Fields:
    """One object that is being read."""

    __slots__ = ("_document", "_of")

    def __init__(self, of: str, document: object, known: Collection[str]) -> None:
        if not isinstance(document, dict):
            raise ChannelError(f"{of} is no object")
        if unknown := document.keys() - set(known):
            raise ChannelError(f"{of} has no field {min(unknown, key=str)!r}")
        self._of = of
        self._document: Document = document

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        return self._typed(name, str, default)

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number, not negative."""
        found = self._typed(name, int, default)
        if isinstance(found, bool) or found < 0:
            raise ChannelError(f"{self._of}.{name} is no count")
        return found

    def seconds(self, name: str) -> float:
        """A duration."""
        found = self._document.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < float("inf"):
            raise ChannelError(f"{self._of}.{name} is no duration")
        return float(found)

    def flag(self, name: str) -> bool:
        """A truth value, false when left out."""
        return self._typed(name, bool, False)

    def items(self, name: str, read: Callable[[Any], _T]) -> tuple[_T, ...]:
        """A list, each item read by `read`; empty when left out."""
        return tuple(self.read(name, read, item) for item in self._typed(name, list, []))

    def optional(self, name: str, read: Callable[[Any], _T]) -> _T | None:
        """A value read by `read`, or None when left out."""
        value = self._document.get(name)
        return None if value is None else self.read(name, read, value)

    def required(self, name: str, read: Callable[[Any], _T]) -> _T:
        """A value read by `read`."""
        return self.read(name, read, self._document.get(name))

    def read(self, name: str, read: Callable[[Any], _T], value: object) -> _T:
        """`value` as `read` reads it; what that refuses is a fault of the message."""
        try:
            return read(value)
        except ChannelError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as fault:
            raise ChannelError(f"{self._of}.{name}: {fault}") from None

    def _typed(self, name: str, kind: type[_T], default: _T | None) -> _T:
        value = self._document.get(name, default)
        if not isinstance(value, kind):
            raise ChannelError(f"{self._of}.{name} is no {kind.__name__}")
        return value
