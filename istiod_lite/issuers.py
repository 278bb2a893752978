"""The keys of issuers that publish them at an address: fetched, fetched again, and never forgotten for a failure.

The last good ones are written down, so that a restart takes nobody's keys away. Without any, no token of the issuer is
valid: there is nothing to fall back to.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mesh import jwks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    Fetch = Callable[[str], Awaitable[str]]

REFRESH: Final = 1200.0
"""Seconds until keys are fetched again, give or take a tenth."""
RETRY: Final = 2.0
"""Seconds until the next attempt after a failure; twice as many after each further one, up to `_LONGEST_RETRY`."""
_LONGEST_RETRY: Final = 300.0
_TOGETHER: Final = 8

_log = logging.getLogger("istiod")


class Issuers:
    """Keeps the JWK Sets of the addresses that are wanted. `changed` is called when there is news of one.

    `fetch` gives the text at an address, or raises OSError or ValueError; `kept` is the file of the last good ones.
    """

    def __init__(self, fetch: Fetch, kept: Path, dice: Callable[[], float]) -> None:
        self._fetch = fetch
        self._kept = kept
        self._dice = dice
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._wanted: frozenset[str] = frozenset()
        self._together = asyncio.Semaphore(_TOGETHER)
        self.keys: dict[str, str] = _read(kept)
        """JWK Sets by their address."""
        self.faults: dict[str, str] = {}
        """Why the last attempt failed, by the address."""
        self.changed: Callable[[], None] = lambda: None

    def want(self, uris: Iterable[str]) -> None:
        """Keep the keys at these addresses, and forget all others."""
        self._wanted = frozenset(uris)
        for gone in self.keys.keys() - self._wanted:
            del self.keys[gone]
        self._follow()

    @property
    def missing(self) -> frozenset[str]:
        """The addresses of which no keys are known. Why, only the log tells: it is not for every author of a manifest
        to learn what answers where we stand."""
        return self._wanted - self.keys.keys()

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._follow()
            await asyncio.Event().wait()

    def _follow(self) -> None:
        if self._group is None:
            return
        for gone in self._tasks.keys() - self._wanted:
            self._tasks.pop(gone).cancel()
            self.faults.pop(gone, None)
        for uri in sorted(self._wanted - self._tasks.keys()):
            self._tasks[uri] = self._group.create_task(self._keep(uri))

    async def _keep(self, uri: str) -> None:
        retry = RETRY
        while True:
            try:
                async with self._together:
                    found = jwks.public_jwks(await self._fetch(uri))
            except (OSError, ValueError) as fault:
                self._failed(uri, str(fault) or type(fault).__name__)
                await asyncio.sleep(retry * (0.5 + self._dice()))
                retry = min(retry * 2, _LONGEST_RETRY)
                continue
            self._found(uri, found)
            retry = RETRY
            await asyncio.sleep(REFRESH * (0.9 + 0.2 * self._dice()))

    def _found(self, uri: str, found: str) -> None:
        news = self.keys.get(uri) != found or uri in self.faults
        self.faults.pop(uri, None)
        self.keys[uri] = found
        if news:
            self._write()
            _log.info("the keys at %s are there", _shown(uri))
            self.changed()

    def _failed(self, uri: str, fault: str) -> None:
        news = self.faults.get(uri) != fault
        self.faults[uri] = fault
        if news:
            effect = "the last ones stay" if uri in self.keys else "no token of the issuer is valid"
            _log.warning("the keys at %s cannot be fetched, so %s: %s", _shown(uri), effect, fault)
            self.changed()

    def _write(self) -> None:
        partial = self._kept.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(self.keys), encoding="utf-8")
            partial.replace(self._kept)
        except OSError as fault:
            _log.warning("the keys of issuers cannot be written to %s: %s", self._kept, fault)


def _read(kept: Path) -> dict[str, str]:
    """What a former process kept, as far as it can still be relied on."""
    found: dict[str, str] = {}
    with suppress(OSError, ValueError, AttributeError):
        for uri, text in json.loads(kept.read_text(encoding="utf-8")).items():
            with suppress(ValueError, TypeError):
                found[uri] = jwks.public_jwks(text)
    return found


def _shown(uri: str) -> str:
    return uri.partition("?")[0]
