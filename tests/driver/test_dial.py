"""Plain TCP connections: made, refused, too slow, from an address of choice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
import trio

from mesh.address import Address
from mesh.net.dial import dial
from mesh.refusal import Reason, Refusal
from tests.tunnel_ends import echo, listening


def address_of(listener: socket.socket) -> Address:
    return Address(ip_address(listener.getsockname()[0]), listener.getsockname()[1])


async def test_a_connection_is_ready_for_the_relay() -> None:
    async with listening(echo) as address:
        sock = await dial(address)
        assert isinstance(sock, socket.socket)
        with sock:
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getpeername() == (str(address.ip), address.port)


async def test_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        sock = await dial(address_of(listener))
        assert isinstance(sock, socket.socket)
        sock.close()


async def test_from_an_address_of_choice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = await dial(address_of(listener), bind=ip_address("127.0.0.77"))
        assert isinstance(sock, socket.socket)
        with sock:
            assert sock.getsockname()[0] == "127.0.0.77"


async def test_an_address_that_is_not_ours_is_a_refusal_and_no_crash() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refusal = await dial(address_of(listener), bind=ip_address("192.0.2.1"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CONNECT_FAILED


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusal = await dial(address_of(unused))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CONNECT_FAILED
    assert refusal.detail.endswith("Connection refused")


@pytest.fixture
def unresponsive() -> Iterator[Address]:
    """A listener whose queue is full: it answers no SYN."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    callers = [socket.socket() for _ in range(4)]
    for caller in callers:
        caller.setblocking(False)
        caller.connect_ex(listener.getsockname())
    yield address_of(listener)
    for sock in (listener, *callers):
        sock.close()


async def test_no_answer_in_time(unresponsive: Address) -> None:
    refusal = await dial(unresponsive, timeout=0.05)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CONNECT_TIMEOUT
    assert "NetworkPolicy" in refusal.detail


async def test_a_cancelled_dial_leaves_no_socket(unresponsive: Address) -> None:
    with trio.move_on_after(0.05) as patience:
        await dial(unresponsive)
    assert patience.cancelled_caught
