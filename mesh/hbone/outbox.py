"""Bytes on their way to the peer: frames side by side in one buffer, carried away in one piece."""

from __future__ import annotations

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final

from mesh.hbone.frames import HEAD, HEAD_SIZE

_pack: Final = HEAD.pack_into


class Outbox:
    """A fixed buffer for payload and control frames, and a bounded spill for control frames that no longer fit.

    The buffer is mapped, not allocated: it takes no more memory than was ever filled of it, and gives all of it back.
    """

    __slots__ = ("_longest_spill", "_spill", "_view", "filled", "size")

    def __init__(self, size: int, longest_spill: int) -> None:
        self.size = size
        self.filled = 0
        self._view = memoryview(mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS))
        self._spill = bytearray()
        self._longest_spill = longest_spill

    @property
    def space(self) -> int:
        """Payload bytes that fit behind one more frame head."""
        return 0 if self._spill else self.size - self.filled - HEAD_SIZE

    @property
    def overflowing(self) -> bool:
        """Whether the peer has left too much waiting."""
        return len(self._spill) > self._longest_spill

    def put(self, data: bytes) -> None:
        """Append whole frames."""
        after = self.filled + len(data)
        if self._spill or after > self.size:
            self._spill += data
        else:
            self._view[self.filled : after] = data
            self.filled = after

    def hole(self, size: int) -> memoryview:
        """Room for `size` payload bytes of a DATA frame, of which `fill` then says how many there are."""
        start = self.filled + HEAD_SIZE
        return self._view[start : start + size]

    def fill(self, stream_id: int, count: int) -> None:
        """Write the head of a DATA frame in front of the `count` bytes that are in the hole."""
        _pack(self._view, self.filled, count << 8, 0, stream_id)
        self.filled += HEAD_SIZE + count

    def empty(self) -> memoryview:
        """Everything, as one piece that is valid until the next `put` or `hole`; the outbox is empty after."""
        size, self.filled = self.filled, 0
        if not self._spill:
            return self._view[:size]
        spill, self._spill = self._spill, bytearray()
        return memoryview(bytes(self._view[:size]) + spill)
