"""`GET /healthz/ready`, for those who start istiod and want to know when it serves."""

from __future__ import annotations

import asyncio
from typing import Final

_PATIENCE: Final = 5.0
_LONGEST_HEAD: Final = 8192


class Readiness:
    """Answers 200 once `ready` is set, else 500; anything but that one path is 404 (RFC 9112)."""

    def __init__(self) -> None:
        self.ready = False

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen; the server is the caller's to close."""
        return await asyncio.start_server(self._answer, host, port, limit=_LONGEST_HEAD)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = self._decide(head.split(b"\r\n", 1)[0])
                length = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\n{length}{body}".encode())
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _decide(self, line: bytes) -> tuple[str, str]:
        if not line.startswith(b"GET /healthz/ready "):
            return "404 Not Found", "not found\n"
        return ("200 OK", "ready\n") if self.ready else ("500 Internal Server Error", "not ready\n")
