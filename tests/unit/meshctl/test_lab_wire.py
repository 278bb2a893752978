"""Requests to a lab's daemon arrive whole, with their descriptors, which no other program gets to see."""

from __future__ import annotations

import asyncio
import os
import socket

from meshctl.lab.wire import Called, Caller


def test_a_programs_output_ends_with_it_whatever_the_daemon_starts_meanwhile() -> None:
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    with ours, theirs, os.fdopen(reading, "rb") as output:
        Caller(ours).send({"verb": "exec"}, (writing, writing, writing))
        os.close(writing)
        called = Called(theirs)

        async def receive_and_start_another() -> None:
            assert await called.receive() == {"verb": "exec"}
            other = await asyncio.create_subprocess_exec("sleep", "60", close_fds=False)
            called.drop_descriptors()
            try:
                assert await asyncio.wait_for(asyncio.to_thread(output.read), 10) == b""
            finally:
                other.kill()
                await other.wait()

        asyncio.run(receive_and_start_another())


def test_a_request_in_pieces_is_read_as_one() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        called = Called(theirs)

        async def receive() -> None:
            asked = asyncio.ensure_future(called.receive())
            for piece in (b'{"ver', b'b": "get"}\n{"more": 1}', b"\n"):
                await asyncio.sleep(0)
                ours.sendall(piece)
            assert await asked == {"verb": "get"}
            assert await called.receive() == {"more": 1}
            ours.shutdown(socket.SHUT_WR)
            assert await called.receive() is None

        asyncio.run(receive())
