"""Who may call the control plane at all: whoever brings a token that one of the known keys has signed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import grpc

from istiod_lite.tokens import Caller, read_keys, verify
from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from joserfc.jwk import KeySet

_BEARER: Final = "Bearer "

_log = logging.getLogger("tokens")


class Doorkeeper:
    """Verifies tokens against a JWKS file, which is read again whenever it changes."""

    def __init__(self, jwks: Path) -> None:
        self._jwks = jwks
        self._mark: tuple[int, int] | None = None
        self._keys: KeySet | None = None

    async def admit(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        """The caller behind a call; a call of nobody's ends here."""
        caller = self.recognise(dict(context.invocation_metadata() or ()).get("authorization", ""))
        if isinstance(caller, Refusal):
            _log.warning("refused %s: %s", context.peer(), caller.detail)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, caller.detail)
        return caller

    def recognise(self, authorization: str | bytes) -> Caller | Refusal:
        """The caller that the header of this value proves."""
        text = authorization if isinstance(authorization, str) else ""
        if not text.startswith(_BEARER):
            return Refusal(Reason.WRONG_IDENTITY, "the call brings no token (authorization: Bearer ...)")
        keys = self._current_keys()
        if keys is None:
            return Refusal(Reason.WRONG_IDENTITY, "there are no keys to verify tokens with")
        return verify(text.removeprefix(_BEARER), keys, datetime.now(UTC))

    def _current_keys(self) -> KeySet | None:
        """The keys of the file; those read last if it cannot be read now."""
        try:
            stat = self._jwks.stat()
            mark = (stat.st_mtime_ns, stat.st_ino)
            if mark != self._mark:
                self._mark = mark
                self._keys = read_keys(self._jwks.read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            _log.error("%s cannot be read: %s", self._jwks, fault)
        return self._keys
