"""A real zygote whose workers have been taken over (tests/netns/ztunnel/attacker.py), asked as the keeper asks."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ztunnel import confine, fork
from ztunnel.fork import Order
from ztunnel.keeper.listeners import Listeners
from ztunnel.worker.start import Pod, Settings

ATTACKER = Path(__file__).parent / "netns" / "ztunnel" / "attacker.py"


class Zygote:
    """A zygote, asked as the keeper does it; its workers become our children, as they become the keeper's."""

    def __init__(self, channel: socket.socket, namespace: int) -> None:
        self._channel = channel
        self._namespace = namespace
        self._listeners = Listeners.open(namespace)
        self._forked = 0
        self.supervisor = "/nowhere"
        self.born: Callable[[Order, int], None] = lambda order, pid: None
        """Called with every worker before it is heard."""

    def start(self, attack: str, victim: object = 0) -> tuple[int, Any]:
        """The pid of a worker that was taken over, and what it told: nothing, if it died of its attack."""
        uid = confine.FIRST_WORKER_UID + self._forked
        order = Order(Pod(str(victim), attack, "shop", "web"), uid, self.supervisor, Settings())
        self._forked += 1
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        with ours:
            with theirs:
                ours.sendall(fork.BEGIN)
                rights = [self._namespace, *self._listeners.descriptors(), theirs.fileno()]
                socket.send_fds(self._channel, [fork.encode(order)], rights)
            answer = fork.parse_answer(self._channel.recv(fork.LARGEST_PACKET))
            assert isinstance(answer, fork.Forked), answer
            self.born(order, answer.pid)
            try:
                heard = ours.recv(65536)
            except ConnectionResetError:
                heard = b""
            return answer.pid, json.loads(heard) if heard else ""

    def close(self) -> None:
        """Let go of the pod."""
        self._listeners.close()

    def attack(self, attack: str, victim: object = 0) -> Any:
        """What came of it: `done` or what it told, the kernel's error, or how the worker ended that tried."""
        pid, told = self.start(attack, victim)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return told or ended


@contextmanager
def zygote_of_attackers(namespace: int) -> Iterator[Zygote]:
    """For a pod with this network namespace."""
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, str(ATTACKER), str(theirs.fileno())], pass_fds=(theirs.fileno(),)
            )
        with closing(Zygote(ours, namespace)) as asked:
            yield asked
    assert process.wait(10) == 0
    libc.prctl(36, 0, 0, 0, 0)
