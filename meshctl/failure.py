"""How a verb fails: one sentence that says what is wrong and one that says how to mend it.

Exit codes of `meshctl`:

== ==========================================================================================
0  done
1  refused or failed: the message says why
2  the command line itself is wrong
3  no such lab, pod, node or object
4  not ready in time: the message names what is not
5  this machine or this user may not do it: the message names the setting
== ==========================================================================================

`meshctl lab exec` returns the exit code of the command it ran; 128 + n if signal n ended it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees."""

    REFUSED = 1
    USAGE = 2
    ABSENT = 3
    NOT_READY = 4
    FORBIDDEN = 5


class Failure(Exception):
    """A verb cannot be done. `str()` is the whole message for the user."""

    def __init__(self, message: str, mend: str = "", code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(f"{message}\n{mend}" if mend else message)
        self.message = message
        self.mend = mend
        self.code = code
