"""Why a connection ended before its time."""

from __future__ import annotations

from mesh.hbone.frames import ErrorCode, code_name


class Violation(Exception):
    """An error code of RFC 9113, section 7, and words. Raised only inside mesh.hbone; its owners get it as a value."""

    def __init__(self, code: int, detail: str, *, ours: bool = True) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.ours = ours
        """Whether we ended the connection for what the peer did; else the peer or the transport did."""

    def __str__(self) -> str:
        return f"{code_name(self.code)}: {self.detail}"


def broken(detail: str) -> Violation:
    """The common case: the peer does what HTTP/2 forbids."""
    return Violation(ErrorCode.PROTOCOL_ERROR, detail)
