"""A real zygote, asked by the test in the keeper's place."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ztunnel import confine, fork
from ztunnel.keeper.listeners import Listeners
from ztunnel.worker.start import Pod, Settings

pytestmark = pytest.mark.netns

STAND_IN = Path(__file__).with_name("stand_in.py")
ORDER = fork.Order(Pod("u-1", "web-1", "shop", "web"), confine.FIRST_WORKER_UID, "/nowhere", Settings())


@pytest.fixture
def keeper() -> Iterator[socket.socket]:
    """The keeper's end of a zygote's socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(10)
    with ours, theirs:
        zygote = subprocess.Popen(
            [sys.executable, str(STAND_IN), "zygote", str(theirs.fileno())], pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        yield ours
    assert zygote.wait(10) == 0


def ask(keeper: socket.socket, packet: bytes, descriptors: list[int]) -> fork.Forked | fork.NotForked:
    socket.send_fds(keeper, [packet], descriptors)
    return fork.parse_answer(keeper.recv(fork.LARGEST_PACKET))


def ready_worker(keeper: socket.socket, namespace: int) -> int:
    """The pid of a worker that said that it is ready."""
    pid, ours = new_worker(keeper, namespace)
    with ours:
        ours.sendall(fork.BEGIN)
        assert ours.recv(9) == b"R"
        assert ours.recv(9) == b""
    return pid


def new_worker(keeper: socket.socket, namespace: int) -> tuple[int, socket.socket]:
    """The pid of a worker that waits to be told to begin, and the keeper's end of its socket."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    listeners = Listeners.open(namespace)
    with theirs:
        answer = ask(keeper, fork.encode(ORDER), [namespace, *listeners.descriptors(), theirs.fileno()])
    listeners.close()
    return answer.pid, ours


def test_it_forks_as_it_is_told_and_ends_with_the_keeper(keeper, pod):
    pid = ready_worker(keeper, pod.namespace)
    assert Path(f"/proc/{pid}/comm").read_text() == "zt-web-1\n"
    os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize(
    ("packet", "descriptors", "why"),
    [
        (b"garbage", 0, "no JSON"),
        (b"x" * 20_000, 0, "no JSON"),
        (b'{"Order": {}}', 2, "no Pod"),
        (fork.encode(ORDER), 0, "0 descriptors, which is none of"),
        (fork.encode(ORDER), 6, "6 descriptors, which is none of"),
        (fork.encode(ORDER), 10, "10 descriptors, which is none of"),
    ],
)
def test_it_refuses_what_is_no_order_and_serves_on(keeper, pod, packet, descriptors, why):
    answer = ask(keeper, packet, [pod.namespace] * descriptors)
    assert isinstance(answer, fork.NotForked)
    assert why in answer.why
    os.kill(ready_worker(keeper, pod.namespace), signal.SIGTERM)


def test_a_worker_whose_keeper_dies_before_it_has_noted_it_ends(keeper, pod):
    pid, ours = new_worker(keeper, pod.namespace)
    ended = os.pidfd_open(pid)
    ours.close()
    assert select.select([ended], [], [], 10)[0]
    os.close(ended)
    Listeners.open(pod.namespace).close()


def test_a_worker_that_cannot_begin_says_nothing_and_ends(keeper, pod):
    reading, writing = os.pipe()
    answer = ask(keeper, fork.encode(ORDER), [*[reading] * 6, writing])
    assert isinstance(answer, fork.Forked)
    os.close(writing)
    with os.fdopen(reading, "rb") as ready:
        assert ready.read() == b""
