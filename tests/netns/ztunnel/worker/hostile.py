"""A pod that wants everything of another's worker: connections by the thousand, and handshakes that never go on.

`hostile.py NAMESPACE OWN-ADDRESS VICTIM APPLICATION-PORT CONNECTIONS HANDSHAKES`; holds all until its input ends. It
says `grasped` when it has tried everything once, and at the end how many connections were left to it, as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from contextlib import suppress

from ztunnel import netns

HALF_A_HANDSHAKE = b"\x16\x03\x01\x02\x00\x01"
AT_ONCE = 250


def dial(own: str, victim: str, port: int) -> socket.socket | None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, 36, 0x539)  # past our own pod's capture
    sock.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    sock.bind((own, 0))
    sock.setblocking(False)
    try:
        sock.connect((victim, port))
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        return None
    return sock


def alive(sock: socket.socket) -> bool:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and sock.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def main() -> None:
    namespace, own, victim, port, connections, handshakes = sys.argv[1:]
    netns.enter(int(namespace))
    wanted = {15008: int(handshakes), int(port): int(connections)}
    held: dict[int, list[socket.socket]] = {}
    for where, count in wanted.items():
        held[where] = []
        for number in range(count):
            made = dial(own, victim, where)
            held[where] += [made] if made else []
            if number % AT_ONCE == 0:
                time.sleep(0.05)  # so that the listener's queue is not what turns it away
    time.sleep(0.5)
    for sock in held[15008]:
        with suppress(OSError):
            sock.send(HALF_A_HANDSHAKE)
    print("grasped", flush=True)
    sys.stdin.read()
    print(json.dumps({"connections": sum(map(alive, held[int(port)])), "handshakes": sum(map(alive, held[15008]))}))


if __name__ == "__main__":
    main()
