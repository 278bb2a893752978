"""Runs inside the lab: opens connections to a Redis, makes one round trip on each, says so, and holds them.

hold.py HOST PORT COUNT    prints the milliseconds each took at p50 and p99, and holds all until its input ends
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import time

_PING, _PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"


def main() -> None:
    """Hold them."""
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held, took = [], []
    for _ in range(count):
        begun = time.perf_counter()
        one = socket.create_connection((host, port), timeout=20)
        one.sendall(_PING)
        if one.recv(len(_PONG)) != _PONG:
            raise SystemExit("it does not answer as a Redis does")
        took.append(1000 * (time.perf_counter() - begun))
        held.append(one)
    took.sort()
    print(json.dumps({"p50": took[count // 2], "p99": took[count * 99 // 100]}), flush=True)
    sys.stdin.read()


main()
