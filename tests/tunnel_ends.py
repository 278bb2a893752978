"""Both ends of tunnels on loopback, as a worker would run them, without a worker: for tests of what is between."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import trio

from mesh.address import Address
from mesh.net.dial import dial
from mesh.net.relay import Relay
from mesh.net.tls import Credentials, ServerTls
from mesh.net.tunnel import HandshakeFailed, Request, Tunnel
from mesh.refusal import Refusal

Serve = Callable[[socket.socket], Awaitable[None]]


@asynccontextmanager
async def running_relay() -> AsyncIterator[Relay]:
    """A relay that runs."""
    relay = Relay()
    async with trio.open_nursery() as nursery:
        await nursery.start(relay.run)
        try:
            yield relay
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[Address]:
    """Every connection to the address goes to `serve`, in a task of its own."""
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    address = Address(ip_address("127.0.0.1"), listener.getsockname()[1])

    async def accept() -> None:
        while True:
            connection, _ = await listener.accept()
            nursery.start_soon(serve, socket.socket(fileno=connection.detach()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        try:
            yield address
        finally:
            nursery.cancel_scope.cancel()
            listener.close()


async def echo(sock: socket.socket) -> None:
    """Send back what comes, then the end of it."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    async with stream:
        try:
            async for data in stream:
                await stream.send_all(data)
            await stream.send_eof()
        except trio.BrokenResourceError:
            return


class Inbound:
    """A server end that connects every CONNECT to the address it names. What was refused at the door is kept."""

    def __init__(self, relay: Relay, papers: Credentials) -> None:
        self.relay = relay
        self.tls = ServerTls(papers)
        self.tunnels: list[Tunnel] = []
        self.requests: list[Request] = []
        self.endings: list[str] = []
        self.refusals: list[Refusal] = []

    async def serve(self, sock: socket.socket) -> None:
        """One connection."""
        async with trio.open_nursery() as nursery:
            try:
                tunnel = await Tunnel.serve(
                    self.relay, sock, self.tls, lambda request: nursery.start_soon(self.connect, request)
                )
            except HandshakeFailed as fault:
                self.refusals.append(fault.refusal)
                return
            self.tunnels.append(tunnel)
            await tunnel.wait_closed()
            nursery.cancel_scope.cancel()

    async def connect(self, request: Request) -> None:
        """One CONNECT."""
        self.requests.append(request)
        upstream = await dial(Address.parse(request.authority))
        if isinstance(upstream, Refusal):
            request.refuse(upstream.reason.status)
            return
        ending = await request.accept([(b"baggage", b"service.name=cart")]).splice(upstream).wait()
        self.endings.append(ending.how)


async def until(what: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition; trio.TooSlowError when it does not come."""
    with trio.fail_after(seconds):
        while not what():  # noqa: ASYNC110  what is waited for is outside of this process, or tells nobody
            await trio.sleep(0.005)


async def exchange(stream: trio.abc.HalfCloseableStream, size: int, seed: int) -> bool:
    """Send `size` random bytes in pieces of random sizes, end, and say whether exactly they come back."""
    dice = random.Random(seed)
    sent, received = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        left = size
        while left:
            piece = dice.randbytes(min(left, dice.choice((1, 100, 5_000, 70_000, 300_000))))
            left -= len(piece)
            sent.update(piece)
            await stream.send_all(piece)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while data := await stream.receive_some():
            received.update(data)
    return sent.digest() == received.digest()
