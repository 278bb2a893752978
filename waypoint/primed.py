"""A stream of which somebody has read the first bytes already."""

from __future__ import annotations

import trio


class Primed(trio.abc.HalfCloseableStream):
    """Gives `first` before anything else."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, first: bytes) -> None:
        self._stream = stream
        self._first = first

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See trio."""
        if not self._first:
            return bytes(await self._stream.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        size = len(self._first) if max_bytes is None else max_bytes
        first, self._first = self._first[:size], self._first[size:]
        return first

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See trio."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See trio."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """See trio."""
        await self._stream.aclose()
