"""Looking at a folder again whenever something in it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from watchfiles import awatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from istiod_lite.folder import Folder

_SETTLE_MS: Final = 40
"""How long a burst of changes may go on before it is read: a proxy's wait for news is mostly this."""
_LOOK_AGAIN_MS: Final = 1_000


async def watch(folder: Folder) -> AsyncIterator[dict[str, str | None]]:
    """All manifests, then for ever what changes, as `Folder.changes` tells it."""
    yield folder.changes()
    # The first look without a notification covers what changed while the notifications were being set up.
    looked = False
    async for noticed in awatch(
        folder.root, debounce=_SETTLE_MS, step=_SETTLE_MS // 2, rust_timeout=_LOOK_AGAIN_MS, yield_on_timeout=True
    ):
        if not noticed and looked:
            continue
        looked = looked or not noticed
        if changes := folder.changes():
            yield changes
