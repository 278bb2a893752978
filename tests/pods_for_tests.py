"""Captured pods with real workers: the scene of the tests in tests/netns/ztunnel/worker, and what happens on it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest
import trio

from mesh.record import Record
from mesh.workload import Service, TunnelProtocol, Workload
from tests.node_for_tests import Node, Worker
from tests.tunnel_ends import until
from ztunnel.keeper.listeners import Listeners

VIP = "10.96.0.2"
"""The address of db's service."""


@dataclass
class Pod:
    """One pod: its network namespace, what the mesh knows of it, its listeners and its worker."""

    place: Any
    workload: Workload
    listeners: Listeners
    worker: Worker

    def address(self, version: int = 4) -> str:
        return self.place.addresses[version]

    async def call(self, address: str, port: int, *, mark: int = 0) -> trio.SocketStream:
        """What a process in the pod does to call somebody."""
        sock = trio.socket.from_stdlib_socket(self.place.make_socket(6 if ":" in address else 4, mark=mark))
        with trio.fail_after(10):
            await sock.connect((address, port))
        return trio.SocketStream(sock)

    def listen(self, port: int, version: int = 4) -> trio.SocketListener:
        """What an application in the pod does to be called."""
        return trio.SocketListener(trio.socket.from_stdlib_socket(self.place.listen(version, port)))


@dataclass
class Pair:
    """The scene: `web` calls `db`, whose application listens on 8080, behind port 80 of its service."""

    node: Node
    web: Pod
    db: Pod
    service: Service

    async def told(self, *, outbound: bool, count: int = 1) -> Record:
        """The last of so many ended connections, as seen at the calling or the called side."""
        await until(lambda: len(self.node.closed(outbound=outbound)) >= count)
        return self.node.closed(outbound=outbound)[count - 1]


def workload(name: str, addresses: dict[int, str]) -> Workload:
    return Workload(
        f"Kubernetes//Pod/shop/{name}",
        name,
        "shop",
        name,
        addresses=tuple(ip_address(one) for one in addresses.values()),
        tunnel=TunnelProtocol.HBONE,
        canonical_name=name,
    )


async def exchange(one: trio.SocketStream, other: trio.SocketStream) -> None:
    """A few bytes each way."""
    with trio.fail_after(10):
        for text, sender, receiver in ((b"ping", one, other), (b"pong", other, one)):
            await sender.send_all(text)
            assert await receiver.receive_some(16) == text


async def close(*streams: trio.SocketStream) -> None:
    for stream in streams:
        await stream.aclose()


async def assert_reset(stream: trio.SocketStream) -> None:
    """The other side wants nothing of it."""
    with trio.fail_after(10), pytest.raises(trio.BrokenResourceError):
        await stream.receive_some(1)


async def assert_refused(pod: Pod, address: str, port: int) -> None:
    """A call is reset, at once or after some thought."""
    with trio.fail_after(10), pytest.raises((ConnectionResetError, trio.BrokenResourceError)):
        await (await pod.call(address, port)).receive_some(1)


async def assert_soon_refused(pod: Pod, address: str, port: int) -> None:
    """Calls are refused as soon as the worker has heard what changed."""
    with trio.fail_after(10), suppress(ConnectionResetError, trio.BrokenResourceError):
        while True:
            async with await pod.call(address, port) as stream:
                with trio.move_on_after(0.1):
                    await stream.receive_some(1)


async def assert_soon_served(pod: Pod, address: str, port: int, server: trio.SocketListener) -> None:
    """Calls are served as soon as the worker has heard what changed."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, _echo, [server])
            while not await _echoed(pod, address, port):
                pass
            nursery.cancel_scope.cancel()


async def _echo(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            await stream.send_all(data)


async def _echoed(pod: Pod, address: str, port: int) -> bool:
    with suppress(ConnectionResetError, trio.BrokenResourceError):
        async with await pod.call(address, port) as stream:
            await stream.send_all(b"ping")
            return bool(await stream.receive_some(4) == b"ping")
    return False
