"""What is wrong with a manifest, where, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one object.

    `source` is the file, `object` is "Kind namespace/name" ("" when the text could not be read as far as that),
    `field` is the path inside the object ("spec.rules[0].matches"), `mend` says what to do about it.
    A grave problem makes the object unusable; one that is not grave is worth a warning only.
    """

    source: str
    object: str
    field: str
    message: str
    mend: str
    grave: bool = True
    line: int = 0

    def __str__(self) -> str:
        """Say everything in one line, as compilers do."""
        where = f"{self.source}:{self.line}" if self.line else self.source
        subject = ": ".join(part for part in (where, self.object, self.field) if part)
        warning = "" if self.grave else "warning: "
        mend = f" ({self.mend})" if self.mend else ""
        return f"{subject}: {warning}{self.message}{mend}"

    def at_line(self, line: int) -> Problem:
        """The same problem, now that its line (counted from 1) is known."""
        return replace(self, line=line)
