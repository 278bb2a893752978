"""Messages on a stream: four bytes of length, big-endian, then that many bytes of JSON, always an object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Document = Mapping[str, Any]

LARGEST_UP: Final = 64 * 1024
"""Bytes of a message to the supervisor."""
LARGEST_DOWN: Final = 16 * 1024 * 1024
"""Bytes of a message to a worker."""

_HEAD: Final = 4
_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class ChannelError(ValueError):
    """The other side said what nobody of our version says; the connection is of no more use."""


def frame(document: Document) -> bytes:
    """One message as it goes on the stream."""
    body = _encode(document).encode()
    return len(body).to_bytes(_HEAD, "big") + body


class Frames:
    """Puts messages together from the stream's pieces. No message may be longer than `largest` bytes."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._buffer = bytearray()

    def receive(self, data: bytes | bytearray) -> Iterator[dict[str, Any]]:
        """The messages that these bytes complete. Raises ChannelError at the first that is none."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            length = int.from_bytes(self._buffer[:_HEAD], "big")
            if length > self._largest:
                raise ChannelError(f"a message of {length} bytes is too long")
            if len(self._buffer) < _HEAD + length:
                return
            body = bytes(self._buffer[_HEAD : _HEAD + length])
            del self._buffer[: _HEAD + length]
            yield _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise ChannelError(f"not JSON: {fault}") from None
    if not isinstance(found, dict):
        raise ChannelError("a message is an object")
    return found
