"""Every worker is taken to be an attacker's: what it tries, and what ends it. The workers are a real zygote's."""

import errno
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from ztunnel import confine

pytestmark = pytest.mark.netns

EPERM, EACCES = os.strerror(errno.EPERM), os.strerror(errno.EACCES)
KILLED = -signal.SIGSYS


@pytest.fixture
def victim(attackers) -> Iterator[int]:
    """Another pod's worker."""
    pid, told = attackers.start("wait")
    assert told == "done"
    yield pid
    assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it did not outlive the attack"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_this_kernel_has_what_holds_workers_in():
    assert "kernel" not in (confine.lacking(confine.worker(confine.FIRST_WORKER_UID)) or "")


def test_another_workers_memory_key_and_sockets_are_out_of_reach(attackers, victim):
    assert attackers.attack("memory", victim) == EACCES
    assert attackers.attack("environment", victim) == EACCES
    assert attackers.attack("descriptors", victim) == EACCES
    assert attackers.attack("peek", victim) == KILLED
    assert attackers.attack("attach", victim) == KILLED
    assert attackers.attack("take-socket", victim) == KILLED


def test_another_worker_is_not_to_be_ended(attackers, victim):
    assert attackers.attack("kill", victim) == EPERM


def test_another_network_is_not_to_be_entered(attackers, victim):
    assert attackers.attack("open-namespace", victim) == EACCES
    assert attackers.attack("enter-namespace") == KILLED


@pytest.mark.parametrize("attack", ["exec", "unshare-user", "mount", "bpf"])
def test_what_only_an_attacker_does_ends_the_worker(attackers, attack):
    assert attackers.attack(attack) == KILLED


@pytest.mark.parametrize("attack", ["fork", "capabilities", "root", "dumpable"])
def test_nothing_is_to_be_gained_for_itself(attackers, attack):
    assert attackers.attack(attack) == EPERM


@pytest.mark.parametrize("attack", ["sniff", "craft"])
def test_the_raw_sockets_of_its_capability_are_not_for_it(attackers, attack):
    assert attackers.attack(attack) == EPERM


@pytest.mark.parametrize("attack", ["read-passwd", "list-root"])
def test_no_file_is_to_be_read(attackers, attack):
    assert attackers.attack(attack) == EACCES


@pytest.mark.parametrize("attack", ["write-tmp", "write-shm"])
def test_no_file_is_to_be_written(attackers, attack):
    assert attackers.attack(attack) == EPERM


def test_what_lies_open_to_everybody_is_closed_to_it(attackers, tmp_path):
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(0o777)
    kept = tmp_path / "key"
    kept.write_text("secret")
    kept.chmod(0o666)
    assert attackers.attack("read-file", kept) == EACCES
    assert attackers.attack("list-files", tmp_path) == EACCES
    assert attackers.attack("write-file", kept) == EPERM
    assert attackers.attack("remove-file", kept) == EPERM
    assert kept.read_text() == "secret"


def test_the_agents_socket_takes_a_kind_that_it_cannot_make(attackers, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as agent:
        agent.bind(str(tmp_path / "cni.sock"))
        agent.listen()
        assert attackers.attack("reach-agent", tmp_path / "cni.sock") == EPERM


@pytest.mark.parametrize("deed", ["thread", "own-key"])
def test_what_its_work_takes_is_left(attackers, deed):
    assert attackers.attack(deed) == "done"
