"""Tells the supervisor which workers there are, so that it knows by pid and user who speaks; and what is awaited."""

from __future__ import annotations

import json
import logging
import math
import socket

import trio

from ztunnel.keeper.part import keep_running
from ztunnel.worker.start import Pod

_log = logging.getLogger("ztunnel.keeper")


class Roster:
    """The live workers. Each supervisor hears of all of them first, then of every change, one JSON object a line."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._workers: dict[int, bytes] = {}
        self._pending = _line({"pending": []})
        self._news: trio.MemorySendChannel[bytes] | None = None

    async def run(self) -> None:
        """Keep a supervisor running, for ever."""
        await keep_running(self._command, socket.SOCK_STREAM, self._tell)

    def add(self, pod: Pod, pid: int, uid: int) -> None:
        """A worker was born."""
        facts = {
            "pod_uid": pod.uid,
            "name": pod.name,
            "namespace": pod.namespace,
            "service_account": pod.service_account,
            "pid": pid,
            "uid": uid,
        }
        self._workers[pid] = _line({"worker": facts})
        self._announce(self._workers[pid])

    def remove(self, pid: int) -> None:
        """A worker has ended."""
        if self._workers.pop(pid, None):
            self._announce(_line({"gone": {"pid": pid}}))

    def await_parts(self, pending: tuple[str, ...]) -> None:
        """Say what the node still waits for before it can be called ready."""
        line = _line({"pending": pending})
        if line != self._pending:
            self._pending = line
            self._announce(line)

    def _announce(self, line: bytes) -> None:
        if self._news:
            self._news.send_nowait(line)

    async def _tell(self, channel: trio.socket.SocketType) -> None:
        stream = trio.SocketStream(channel)
        # Unbounded, for it is a few hundred bytes per worker, and a supervisor that stops reading must hold nobody up.
        send, receive = trio.open_memory_channel[bytes](math.inf)
        for line in (self._pending, *self._workers.values()):
            send.send_nowait(line)
        self._news = send
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_listen, stream)
                async for line in receive:
                    await stream.send_all(line)
        except* trio.BrokenResourceError:
            _log.warning("the supervisor no longer listens")
        finally:
            if self._news is send:
                self._news = None


async def _listen(stream: trio.SocketStream) -> None:
    """The supervisor says one thing only; who says it again and again is not heard."""
    if b"ready" in await stream.receive_some(4096):
        _log.info("the supervisor is ready")


def _line(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"
