"""What one end of an HBONE connection allows its peer. The numbers are those of Istio's ztunnel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes; counts where the name says so."""

    max_frame: int = MIB
    stream_window: int = 4 * MIB
    connection_window: int = 16 * MIB
    streams: int = 200
    header_list: int = 64 * KIB
    header_block: int = 96 * KIB
    """HEADERS and its CONTINUATIONs together, still compressed; also the longest frame that carries no data."""
    chores: int = 2000
    """Frames that give work and carry nothing (PING, SETTINGS, RST_STREAM, empty DATA, ...), and streams that the peer
    makes us reset, that are forgiven between two ticks; RST_STREAM is none of them where the stream's answer had been
    sent before; a stream that ends in order earns one more."""
    outbox: int = 512 * KIB
    """What a turn may collect before it is sent; touched, so paid for, only as far as it is filled."""
    spill: int = MIB
    """Control frames that may wait while a peer takes nothing."""

    @property
    def stream_step(self) -> int:
        """Bytes taken before a stream's window is opened again."""
        return self.stream_window // 4

    @property
    def connection_step(self) -> int:
        """Bytes taken before the connection's window is opened again."""
        return self.connection_window // 4


SERVER: Final = Limits()
CLIENT: Final = Limits(header_list=16 * KIB, header_block=24 * KIB)
