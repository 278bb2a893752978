"""Decisions that hold for many connections, made once for as long as what the worker knows stays the same. Pure.

What was decided is forgotten with the view that it was decided on: no connection is judged by what was true before.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from mesh.address import Address
from mesh.refusal import Refusal
from ztunnel.admit import Admission, Arrival, admit
from ztunnel.plan import Plan, Ways, ways
from ztunnel.worker.baggage import baggage
from ztunnel.worker.lookup import View

_MOST: Final = 1024
"""Decisions that are kept at a time."""

_Q = TypeVar("_Q")
_A = TypeVar("_A")


class _Kept(Generic[_Q, _A]):
    """Answers by question, all of one view."""

    __slots__ = ("_answers", "_view")

    def __init__(self) -> None:
        self._answers: dict[_Q, _A] = {}
        self._view: View | None = None

    def get(self, view: View, question: _Q) -> _A | None:
        if view is not self._view:
            self._view = view
            self._answers.clear()
        return self._answers.get(question)

    def put(self, question: _Q, answer: _A) -> None:
        if len(self._answers) >= _MOST:
            self._answers.clear()
        self._answers[question] = answer


class Directions:
    """Where connections go; which endpoint each gets is chosen anew every time."""

    def __init__(self) -> None:
        self._kept: _Kept[Address, Plan | Ways | Refusal] = _Kept()

    def of(self, view: View, destination: Address) -> Plan | Ways | Refusal:
        """As `ztunnel.plan.ways` decides."""
        found = self._kept.get(view, destination)
        if found is None:
            found = ways(view.snapshot, view.own, destination)
            self._kept.put(destination, found)
        return found


class Admissions:
    """Who may come in."""

    def __init__(self) -> None:
        self._kept: _Kept[Arrival, Admission | Refusal] = _Kept()

    def of(self, view: View, arrival: Arrival) -> Admission | Refusal:
        """As `ztunnel.admit.admit` decides."""
        found = self._kept.get(view, arrival)
        if found is None:
            found = admit(view.snapshot, view.own, arrival)
            self._kept.put(arrival, found)
        return found


class Introduction:
    """How the worker describes its pod to the other ends of tunnels."""

    def __init__(self) -> None:
        self._kept: _Kept[None, bytes] = _Kept()

    def of(self, view: View) -> bytes:
        """The value of the baggage header."""
        found = self._kept.get(view, None)
        if found is None:
            found = baggage(view.own)
            self._kept.put(None, found)
        return found
