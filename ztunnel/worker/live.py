"""The connections that live by leave of the policies, and may lose it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mesh.policy import Policy
from mesh.refusal import Refusal
from mesh.verdict import Call
from ztunnel.admit import judge
from ztunnel.worker.lookup import View


@dataclass(eq=False, slots=True)
class Entry:
    """One admitted connection."""

    call: Call
    abort: Callable[[], None]
    refusal: Refusal | None = None
    """Why it was ended, if policies ended it."""


class Live:
    """Every admitted connection that has not ended."""

    def __init__(self) -> None:
        self._entries: set[Entry] = set()
        self._policies: tuple[Policy, ...] = ()

    def admit(self, call: Call, abort: Callable[[], None]) -> Entry:
        """Put an admitted connection on the register."""
        entry = Entry(call, abort)
        self._entries.add(entry)
        return entry

    def leave(self, entry: Entry) -> Refusal | None:
        """It has ended: take it off; says why, if policies ended it."""
        self._entries.discard(entry)
        return entry.refusal

    def check(self, view: View) -> None:
        """If other policies are in force than before, judge all again and end those that are denied now."""
        policies = view.snapshot.policies_for(view.own)
        if policies == self._policies:
            return
        self._policies = policies
        for entry in tuple(self._entries):
            verdict = judge(view.snapshot, view.own, entry.call)
            if isinstance(verdict, Refusal):
                entry.refusal = Refusal(verdict.reason, f"policies changed while it lived: {verdict.detail}")
                entry.abort()
