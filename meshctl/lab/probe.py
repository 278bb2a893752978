"""Readiness probes: is a container ready for traffic?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from meshctl.lab.addressing import PROBE_SOURCE
from meshctl.lab.netns import Netns
from meshctl.manifest import Body

EAGER_SECONDS = 0.2
"""How often a container is asked until it is ready for the first time, whatever its period: people are waiting."""

Exec = Callable[[list[str]], Awaitable[int]]
"""Runs a command in the container and returns its exit code."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A readiness probe of a container. Times in seconds."""

    check: Body
    port: int | None
    delay: float
    period: float
    timeout: float
    failures: int


def probe_of(container: Body) -> Probe | None:
    """Return the container's readiness probe, its port resolved by name if it has one."""
    given: dict[str, Any] | None = container.get("readinessProbe")
    if not given:
        return None
    target = given.get("httpGet") or given.get("tcpSocket") or {}
    return Probe(
        check=given,
        port=_number(target.get("port"), container),
        delay=float(given.get("initialDelaySeconds", 0)),
        period=float(given.get("periodSeconds", 10)),
        timeout=float(given.get("timeoutSeconds", 1)),
        failures=int(given.get("failureThreshold", 3)),
    )


def _number(port: int | str | None, container: Body) -> int | None:
    if isinstance(port, str) and not port.isdigit():
        named = {entry.get("name"): entry["containerPort"] for entry in container.get("ports") or ()}
        return named.get(port)
    return None if port is None else int(port)


async def succeeds(probe: Probe, node: Netns, address: IPv4Address, run: Exec) -> bool:
    """Ask once, from the node, as the kubelet does."""
    try:
        async with asyncio.timeout(probe.timeout):
            if command := (probe.check.get("exec") or {}).get("command"):
                return await run(list(command)) == 0
            if probe.port is None:
                return False
            status = await _ask(probe, node, address, probe.port)
    except (OSError, TimeoutError, ValueError):
        return False
    return 200 <= status < 400


async def _ask(probe: Probe, node: Netns, address: IPv4Address, port: int) -> int:
    """Connect, ask for a page if the probe wants one, and return the HTTP status (200 for a mere connection)."""
    sock = node.socket(socket.SOCK_STREAM)
    try:
        sock.bind((str(PROBE_SOURCE), 0))
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        reader, writer = await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise
    try:
        page = probe.check.get("httpGet")
        if page is None:
            return 200
        host = page.get("host") or f"{address}:{port}"
        headers = "".join(f"{entry['name']}: {entry['value']}\r\n" for entry in page.get("httpHeaders") or ())
        path = page.get("path") or "/"
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe\r\nConnection: close\r\n"
        writer.write(f"{head}{headers}\r\n".encode())
        status = await reader.readline()
        return int(status.split(b" ", 2)[1]) if status.startswith(b"HTTP/") else 0
    finally:
        writer.close()
