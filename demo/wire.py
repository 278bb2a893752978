"""Read what crosses a node's link and tell where a marker was seen: run inside a node, needs nothing but Python.

    python wire.py --marker SECRET            reads until its standard input ends

Prints `listening`, and at the end one JSON object: packets, TCP payload bytes, and for each port (the lower one of
a connection) its bytes, how often the marker was in them with one excerpt, whole TLS records, and bytes that
should have been a TLS record but were not. A connection that was there before counts its records from the first
segment that begins one.
"""

import argparse
import json
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
TCP, SYN = 6, 0x02
RECORD_HEADER, LONGEST_RECORD = 5, 16384 + 256  # RFC 8446 section 5.2


@dataclass(frozen=True)
class Segment:
    """One TCP segment, as far as it matters here."""

    source: tuple[bytes, int]
    target: tuple[bytes, int]
    sequence: int
    opens: bool
    payload: bytes


@dataclass
class Port:
    """What was seen on one port."""

    bytes: int = 0
    marker: int = 0
    excerpt: str = ""
    tls_records: int = 0
    not_tls: int = 0


@dataclass
class Direction:
    """One direction of a connection, cut into TLS records (RFC 8446 section 5.1)."""

    port: Port
    in_step: bool
    expected: int
    pending: bytes = b""
    to_skip: int = 0

    def take(self, segment: Segment) -> None:
        """Count the records that this segment completes or begins; repeated segments do not count."""
        ahead = (segment.sequence - self.expected) & 0xFFFFFFFF
        if self.in_step and ahead > 0x7FFFFFFF:
            return
        if self.in_step and ahead:  # the capture lost a piece: look for the next beginning
            self.in_step = False
        if not self.in_step:
            self.pending, self.to_skip = b"", 0
        data = self.pending + segment.payload
        self.expected = (segment.sequence + len(segment.payload)) & 0xFFFFFFFF
        self._records(data)

    def _records(self, data: bytes) -> None:
        skipped = min(self.to_skip, len(data))
        self.to_skip -= skipped
        data = data[skipped:]
        while len(data) >= RECORD_HEADER:
            kind, version, length = struct.unpack("!BHH", data[:RECORD_HEADER])
            if kind not in range(20, 24) or version not in range(0x0301, 0x0304) or length > LONGEST_RECORD:
                self.port.not_tls += len(data) if self.in_step else 0
                self.pending, self.in_step = b"", False
                return
            self.in_step = True
            self.port.tls_records += 1
            whole = RECORD_HEADER + length
            self.to_skip = max(0, whole - len(data))
            data = data[whole:]
        self.pending = data


@dataclass
class Wire:
    """Everything seen so far."""

    marker: bytes
    packets: int = 0
    ports: dict[int, Port] = field(default_factory=dict)
    directions: dict[tuple[tuple[bytes, int], tuple[bytes, int]], Direction] = field(default_factory=dict)

    def take(self, frame: bytes) -> None:
        """Count one frame."""
        self.packets += 1
        for segment in segments(frame):
            port = self.ports.setdefault(min(segment.source[1], segment.target[1]), Port())
            port.bytes += len(segment.payload)
            self._look_for_marker(port, segment.payload)
            way = segment.source, segment.target
            if segment.opens:
                self.directions[way] = Direction(port, in_step=True, expected=segment.sequence + 1 & 0xFFFFFFFF)
            elif segment.payload:
                known = self.directions.setdefault(way, Direction(port, in_step=False, expected=0))
                known.take(segment)

    def _look_for_marker(self, port: Port, payload: bytes) -> None:
        if (at := payload.find(self.marker)) < 0:
            return
        port.marker += 1
        line_start = payload.rfind(b"\n", 0, at) + 1
        port.excerpt = port.excerpt or payload[line_start : at + 60].split(b"\r")[0].decode(errors="replace")

    def summary(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "packets": self.packets,
            "marker": sum(port.marker for port in self.ports.values()),
            "ports": {str(number): vars(port) for number, port in sorted(self.ports.items()) if port.bytes},
        }


def segments(frame: bytes) -> Iterator[Segment]:
    """The TCP segment in an Ethernet frame, if there is one."""
    kind = int.from_bytes(frame[12:14])
    packet = frame[14:]
    if kind == ETH_P_IP and packet[9] == TCP:
        source, target = packet[12:16], packet[16:20]
        tcp = packet[(packet[0] & 0xF) * 4 : int.from_bytes(packet[2:4]) or len(packet)]
    elif kind == ETH_P_IPV6 and packet[6] == TCP:
        source, target = packet[8:24], packet[24:40]
        tcp = packet[40:]
    else:
        return
    source_port, target_port, sequence, _, offset, flags = struct.unpack("!HHIIBB", tcp[:14])
    payload = tcp[(offset >> 4) * 4 :]
    yield Segment((source, source_port), (target, target_port), sequence, bool(flags & SYN), payload)


def main() -> None:
    """Listen until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--marker", required=True)
    parser.add_argument("--interface", default="eth0")
    told = parser.parse_args()
    wire = Wire(told.marker.encode())
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        link.bind((told.interface, ETH_P_ALL))
        print("listening", flush=True)
        while True:
            ready, _, _ = select.select([link, sys.stdin], [], [])
            if link in ready:
                wire.take(link.recv(1 << 17))
            elif not os.read(sys.stdin.fileno(), 4096):
                break
    print(json.dumps(wire.summary()), flush=True)


if __name__ == "__main__":
    main()
