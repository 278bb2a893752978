"""Runs inside the lab: opens many connections to a Redis at the same moment and makes one round trip on each.

burst.py HOST PORT COUNT    prints how many failed, the milliseconds that they took at p50 and p99, and the last one
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time

_PING, _PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"
_PATIENCE = 60.0


def main() -> None:
    """Open them."""
    address, count = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    poll, waiting, took, failed = select.epoll(), {}, [], 0
    begun = time.perf_counter()
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(address)
        waiting[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLOUT)
    while waiting and time.perf_counter() - begun < _PATIENCE:
        for fd, event in poll.poll(1):
            one = waiting[fd]
            try:
                if event & select.EPOLLOUT:
                    one.sendall(_PING)
                    poll.modify(fd, select.EPOLLIN)
                    continue
                if one.recv(len(_PONG)) == _PONG:
                    took.append(1000 * (time.perf_counter() - begun))
                else:
                    failed += 1
            except OSError:
                failed += 1
            poll.unregister(fd)
            waiting.pop(fd).close()
    took.sort()
    quantiles = {"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100], "last": took[-1]} if took else {}
    print(json.dumps({"failed": failed + len(waiting), **quantiles}))


main()
