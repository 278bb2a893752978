"""Settings from environment variables: each parsed, every fault named with its mend. The environment is handed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Final, TypeVar
from urllib.parse import urlsplit

_T = TypeVar("_T")

_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class SettingsError(ValueError):
    """One or more variables cannot be used; the text has a line for each that names it and says what to write."""


class Variables:
    """Takes variables one by one and remembers every fault, so that an operator mends them in one go.

    `mends` says for each variable what to set it to.
    """

    def __init__(self, environment: Mapping[str, str], mends: Mapping[str, str]) -> None:
        self._environment = environment
        self._mends = mends
        self._faults: list[str] = []

    def get(self, variable: str, parse: Callable[[str], _T], default: str) -> _T:
        """The parsed value; an empty variable counts as not set, and the default stands in for a faulty one."""
        text = self._environment.get(variable) or default
        try:
            return parse(text)
        except ValueError as error:
            self._faults.append(f"{variable}={text!r}: {error}; set it to {self._mends[variable]}")
            return parse(default)

    def required(self, variable: str) -> str:
        """A name that nothing can stand in for."""
        if not self._environment.get(variable):
            self._faults.append(f"{variable} is not set: set it to {self._mends[variable]}")
            return "unset"
        return self.get(variable, name, "unset")

    def beginning(self, prefix: str) -> dict[str, str]:
        """Every variable whose name begins like this, as it is."""
        return {name: value for name, value in self._environment.items() if name.startswith(prefix)}

    def check(self) -> None:
        """Raise SettingsError with all faults so far, if there are any."""
        if self._faults:
            raise SettingsError("\n".join(self._faults))


def name(text: str) -> str:
    """A name of letters, digits, dots, dashes and underscores."""
    if _NAME.fullmatch(text) is None:
        raise ValueError("a name has letters, digits, dots, dashes and underscores")
    return text


def domain(text: str) -> str:
    """A trust domain, in lower case."""
    if _NAME.fullmatch(text) is None:
        raise ValueError("not a trust domain")
    return text.lower()


def path(text: str) -> str:
    """An absolute path."""
    if not PurePosixPath(text).is_absolute():
        raise ValueError("not an absolute path")
    return text


def url(text: str) -> str:
    """An http or https URL with a port."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an http or https URL")
    if parts.port is None:
        raise ValueError("the URL has no port")
    return text


def count(text: str) -> int:
    """A whole number above zero."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 31):
        raise ValueError("not a count")
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError("not a number from 0 to 1")
    return number


def seconds(text: str) -> int:
    """The whole seconds of a duration like 24h, 1h30m or 20s; none at all is a fault."""
    found = _DURATION.fullmatch(text)
    hours, minutes, rest = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + rest
    if not total:
        raise ValueError("not a duration")
    return total
