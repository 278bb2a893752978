"""A header block on its way in: HEADERS, its CONTINUATIONs, and the decoder whose state spans them all."""

from __future__ import annotations

from mesh.hbone import fields, frames
from mesh.hbone.frames import ErrorCode
from mesh.hbone.literals import Field
from mesh.hbone.violation import Violation, broken


class BlockReader:
    """Assembles one block at a time, at most `longest` bytes; raises Violation for one that cannot be had."""

    __slots__ = ("_block", "_decoder", "_longest", "ends_stream", "stream_id")

    def __init__(self, longest: int, longest_list: int) -> None:
        self._longest = longest
        self._decoder = fields.decoder(longest_list)
        self._block: bytearray | None = None
        self.stream_id = 0
        self.ends_stream = False

    @property
    def unfinished(self) -> bool:
        """Whether only a CONTINUATION may come next (RFC 9113, section 6.10)."""
        return self._block is not None

    def start(self, stream_id: int, flags: int, payload: memoryview) -> list[Field] | None:
        """Take HEADERS; the fields when that was all."""
        if flags & frames.PADDED:
            if not payload or payload[0] >= len(payload):
                raise broken("padding longer than its frame")
            payload = payload[1 : len(payload) - payload[0]]
        if flags & frames.PRIORITIZED:
            if len(payload) < 5:
                raise Violation(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            payload = payload[5:]
        self.stream_id = stream_id
        self.ends_stream = bool(flags & frames.END_STREAM)
        self._block = bytearray()
        return self._extend(flags, payload)

    def carry_on(self, stream_id: int, flags: int, payload: memoryview) -> list[Field] | None:
        """Take a CONTINUATION; the fields when it was the last."""
        if self._block is None or stream_id != self.stream_id:
            raise broken("CONTINUATION of nothing")
        return self._extend(flags, payload)

    def _extend(self, flags: int, payload: memoryview) -> list[Field] | None:
        block = self._block
        assert block is not None  # noqa: S101  both callers made it
        block += payload
        if len(block) > self._longest:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, f"a header block above {self._longest} bytes")
        if not flags & frames.END_HEADERS:
            return None
        self._block = None
        try:
            return fields.decode(self._decoder, bytes(block))
        except fields.BlockTooLong as fault:
            raise Violation(ErrorCode.ENHANCE_YOUR_CALM, str(fault)) from None
        except fields.BlockUnreadable as fault:
            raise Violation(ErrorCode.COMPRESSION_ERROR, str(fault)) from None
