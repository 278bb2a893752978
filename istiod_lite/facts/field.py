"""One value inside an object, with the path to it: strict reading that goes on after a fault.

Every reader returns a usable value even where it found a fault, so one pass over an object reports all its faults.
Whoever started the reading throws the half-read fact away if there were any. An explicit null counts as absent, as
it does for Kubernetes.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from istiod_lite.manifests import kind_of
from istiod_lite.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from istiod_lite.object import Object


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text must look like: a pattern, the longest length, and how to say so to a person."""

    pattern: re.Pattern[str]
    longest: int
    says: str


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS = rf"{_LABEL}(\.{_LABEL})*"

ANY_TEXT: Final = Shape(re.compile(r".*", re.DOTALL), 1 << 18, "any text")
SOME_TEXT: Final = Shape(re.compile(r".+", re.DOTALL), 4096, "a text that is not empty")
NAME: Final = Shape(re.compile(r".+"), 253, "a name")
DNS_LABEL: Final = Shape(re.compile(_LABEL), 63, "lower-case letters, digits and '-'")
DNS_NAME: Final = Shape(re.compile(_DNS), 253, "a DNS name in lower case")
HOSTNAME: Final = Shape(re.compile(rf"(\*\.)?{_DNS}"), 253, "a host name, perhaps beginning with '*.'")
GROUP: Final = Shape(re.compile(rf"({_DNS})?"), 253, "an API group such as gateway.networking.k8s.io, or ''")
KIND: Final = Shape(re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?"), 63, "a kind such as Service")
HEADER_NAME: Final = Shape(re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+"), 256, "an HTTP header name")

_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_DURATION_PART = re.compile(r"([0-9]+)(h|ms|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Reading:
    """One pass over one object, gathering its problems."""

    __slots__ = ("object", "problems")

    def __init__(self, obj: Object) -> None:
        self.object = obj
        self.problems: list[Problem] = []

    def root(self) -> Field:
        """The whole object as a field without a path."""
        return Field(self, "", self.object.body)

    def fault(self, path: str, message: str, mend: str, *, grave: bool = True) -> None:
        """Note one problem."""
        found = self.object
        self.problems.append(Problem(found.source, str(found.key), path, message, mend, grave, found.line))


class Field:
    """A value and where it stands."""

    __slots__ = ("_reading", "path", "value")

    def __init__(self, reading: Reading, path: str, value: Any) -> None:
        self._reading = reading
        self.path = path
        self.value = value

    def __getitem__(self, name: str) -> Field:
        """The field of this name; absent ones and those of a value that is no mapping hold None."""
        value = self.value.get(name) if isinstance(self.value, dict) else None
        return Field(self._reading, f"{self.path}.{name}" if self.path else name, value)

    def holding(self, value: Any) -> Field:
        """This place with what its text stands for."""
        return Field(self._reading, self.path, value)

    @property
    def given(self) -> bool:
        """Whether there is a value here."""
        return self.value is not None

    def fault(self, message: str, mend: str, *, grave: bool = True) -> None:
        """Note a problem of this field."""
        self._reading.fault(self.path, message, mend, grave=grave)

    def knows(self, *names: str) -> Field:
        """Check that this is a mapping with no fields but these; a near miss gets the right spelling."""
        if not self.given:
            return self
        if not isinstance(self.value, dict):
            self.fault(f"a mapping belongs here, this is {kind_of(self.value)}", "write fields below it")
            return self
        for name in self.value:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
                mend = f"did you mean {near[0]}?" if near else "known here: " + ", ".join(sorted(names))
                self[str(name)].fault("there is no such field", mend)
        return self

    def required(self) -> bool:
        """Whether there is a value; its absence is a problem."""
        if not self.given:
            self.fault("this field is required", "add it")
        return self.given

    def text(self, default: str = "", shape: Shape = ANY_TEXT) -> str:
        """A text of some shape. Where any text will do, an empty one counts as absent, as it does in Go."""
        if not self.given or (self.value == "" and shape is ANY_TEXT):
            return default
        if not isinstance(self.value, str):
            self.fault(f"a text belongs here, this is {kind_of(self.value)}", "put it in quotes")
        elif len(self.value) > shape.longest:
            self.fault(f"{len(self.value)} characters are too many", f"at most {shape.longest}")
        elif not shape.pattern.fullmatch(self.value):
            self.fault(f"{self.value!r} will not do", f"this is {shape.says}")
        else:
            return self.value
        return default

    def choice(self, values: Iterable[str], default: str = "") -> str:
        """One of a set of words."""
        values = tuple(values)
        word = self.text(default)
        if self.given and isinstance(self.value, str) and word not in values:
            near = difflib.get_close_matches(word, values, n=1, cutoff=0.6)
            offer = f"did you mean {near[0]}?" if near else "one of " + ", ".join(values)
            self.fault(f"{word!r} is not a value of this field", offer)
            return default
        return word

    def integer(self, default: int, low: int, high: int) -> int:
        """A whole number within bounds, both included."""
        if not self.given:
            return default
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.fault(f"a whole number belongs here, this is {kind_of(self.value)}", f"from {low} to {high}")
        elif not low <= self.value <= high:
            self.fault(f"{self.value} is out of range", f"from {low} to {high}")
        else:
            return self.value
        return default

    def number(self, default: float, low: float, high: float) -> float:
        """A number, whole or not, within bounds, both included."""
        if not self.given:
            return default
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self.fault(f"a number belongs here, this is {kind_of(self.value)}", f"from {low:g} to {high:g}")
        elif not low <= self.value <= high:
            self.fault(f"{self.value} is out of range", f"from {low:g} to {high:g}")
        else:
            return float(self.value)
        return default

    def port(self) -> int:
        """A port number, 0 if absent."""
        return self.integer(0, 1, 65535)

    def boolean(self, default: bool = False) -> bool:
        """True or false."""
        if not self.given:
            return default
        if not isinstance(self.value, bool):
            self.fault(f"true or false belongs here, this is {kind_of(self.value)}", "write true or false")
            return default
        return self.value

    def duration(self) -> float | None:
        """Seconds of a Gateway API duration (GEP-2257) such as 1h10m or 500ms; None if absent."""
        if not self.given:
            return None
        if not isinstance(self.value, str) or not _DURATION.fullmatch(self.value):
            self.fault(f"{self.value!r} is not a duration", "write it like 10s, 500ms or 1h10m")
            return None
        return round(sum(int(n) * _UNITS[unit] for n, unit in _DURATION_PART.findall(self.value)), 3)

    def each(self, most: int = 1 << 30, least: int = 0) -> list[Field]:
        """The entries of a list, none if absent."""
        if not self.given:
            return []
        if not isinstance(self.value, list):
            self.fault(f"a list belongs here, this is {kind_of(self.value)}", "begin each entry with '- '")
            return []
        if not least <= len(self.value) <= most:
            self.fault(f"there are {len(self.value)} entries", f"from {least} to {most} are allowed")
        return [Field(self._reading, f"{self.path}[{i}]", value) for i, value in enumerate(self.value)]

    def texts(self, shape: Shape = ANY_TEXT, most: int = 1 << 30) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(one.text(shape=shape) for one in self.each(most) if one.required())

    def mapping(self) -> Mapping[str, str]:
        """A mapping of text to text, such as labels."""
        if not self.given:
            return MappingProxyType({})
        self.knows(*(self.value if isinstance(self.value, dict) else ()))
        if not isinstance(self.value, dict):
            return MappingProxyType({})
        return MappingProxyType({str(key): self[str(key)].text() for key in self.value})

    def differ(self, entries: Iterable[Field], key: Callable[[Field], Any], what: str) -> None:
        """Check that no two entries have the same key, which may be any value: a reader has yet to look at it."""
        seen: set[str] = set()
        for one in entries:
            if (found := repr(key(one))) in seen:
                one.fault(f"the same {what} is given twice: {found}", "keep one of them")
            seen.add(found)
