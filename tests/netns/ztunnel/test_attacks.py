"""Every worker is taken to be an attacker's: what it tries, and what ends it. The workers are a real zygote's."""

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ztunnel import confine, fork
from ztunnel.keeper.listeners import Listeners
from ztunnel.worker.start import Pod, Settings

pytestmark = pytest.mark.netns

ATTACKER = Path(__file__).with_name("attacker.py")
EPERM, EACCES = os.strerror(errno.EPERM), os.strerror(errno.EACCES)
KILLED = -signal.SIGSYS


class Zygote:
    """A zygote, asked as the keeper does it; its workers become our children, as they become the keeper's."""

    def __init__(self, channel: socket.socket, namespace: int) -> None:
        self._channel = channel
        self._namespace = namespace
        self._listeners = Listeners.open(namespace)
        self._forked = 0

    def start(self, attack: str, victim: object = 0) -> tuple[int, str]:
        """The pid of a worker that was taken over, and what it told: nothing, if it died of its attack."""
        order = fork.Order(
            Pod(str(victim), attack, "shop", "web"), confine.FIRST_WORKER_UID + self._forked, "/nowhere", Settings()
        )
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
            try:
                return answer.pid, ours.recv(4096).decode().strip('"')
            except ConnectionResetError:
                return answer.pid, ""

    def close(self) -> None:
        """Let go of the pod."""
        self._listeners.close()

    def attack(self, attack: str, victim: object = 0) -> str | int:
        """What came of it: `done`, the kernel's error, or how the worker ended that tried."""
        pid, told = self.start(attack, victim)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return told or ended


@pytest.fixture
def zygote(pod) -> Iterator[Zygote]:
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, str(ATTACKER), str(theirs.fileno())], pass_fds=(theirs.fileno(),)
            )
        with closing(Zygote(ours, pod.namespace)) as asked:
            yield asked
    assert process.wait(10) == 0
    libc.prctl(36, 0, 0, 0, 0)


@pytest.fixture
def victim(zygote) -> Iterator[int]:
    """Another pod's worker."""
    pid, told = zygote.start("wait")
    assert told == "done"
    yield pid
    assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it did not outlive the attack"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_this_kernel_has_what_holds_workers_in():
    assert "kernel" not in (confine.lacking(confine.worker(confine.FIRST_WORKER_UID)) or "")


def test_another_workers_memory_key_and_sockets_are_out_of_reach(zygote, victim):
    assert zygote.attack("memory", victim) == EACCES
    assert zygote.attack("environment", victim) == EACCES
    assert zygote.attack("descriptors", victim) == EACCES
    assert zygote.attack("peek", victim) == KILLED
    assert zygote.attack("attach", victim) == KILLED
    assert zygote.attack("take-socket", victim) == KILLED


def test_another_worker_is_not_to_be_ended(zygote, victim):
    assert zygote.attack("kill", victim) == EPERM


def test_another_network_is_not_to_be_entered(zygote, victim):
    assert zygote.attack("open-namespace", victim) == EACCES
    assert zygote.attack("enter-namespace") == KILLED


@pytest.mark.parametrize("attack", ["exec", "unshare-user", "mount", "bpf"])
def test_what_only_an_attacker_does_ends_the_worker(zygote, attack):
    assert zygote.attack(attack) == KILLED


@pytest.mark.parametrize("attack", ["fork", "capabilities", "root", "dumpable"])
def test_nothing_is_to_be_gained_for_itself(zygote, attack):
    assert zygote.attack(attack) == EPERM


@pytest.mark.parametrize("attack", ["sniff", "craft"])
def test_the_raw_sockets_of_its_capability_are_not_for_it(zygote, attack):
    assert zygote.attack(attack) == EPERM


@pytest.mark.parametrize("attack", ["read-passwd", "list-root"])
def test_no_file_is_to_be_read(zygote, attack):
    assert zygote.attack(attack) == EACCES


@pytest.mark.parametrize("attack", ["write-tmp", "write-shm"])
def test_no_file_is_to_be_written(zygote, attack):
    assert zygote.attack(attack) == EPERM


def test_what_lies_open_to_everybody_is_closed_to_it(zygote, tmp_path):
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(0o777)
    kept = tmp_path / "key"
    kept.write_text("secret")
    kept.chmod(0o666)
    assert zygote.attack("read-file", kept) == EACCES
    assert zygote.attack("list-files", tmp_path) == EACCES
    assert zygote.attack("write-file", kept) == EPERM
    assert zygote.attack("remove-file", kept) == EPERM
    assert kept.read_text() == "secret"


def test_the_agents_socket_takes_a_kind_that_it_cannot_make(zygote, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as agent:
        agent.bind(str(tmp_path / "cni.sock"))
        agent.listen()
        assert zygote.attack("reach-agent", tmp_path / "cni.sock") == EPERM


@pytest.mark.parametrize("deed", ["thread", "own-key"])
def test_what_its_work_takes_is_left(zygote, deed):
    assert zygote.attack(deed) == "done"
