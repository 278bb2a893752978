"""Filters, run on a model of the kernel's machine, for machines that the tests do not run on, too."""

import errno
import struct

import pytest

from ztunnel import sandbox, seccomp
from ztunnel.syscalls import NUMBERS

EPERM, ENOSYS = seccomp.fail(errno.EPERM), seccomp.fail(errno.ENOSYS)


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    words = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", program))
    at, held = 0, 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        match operation:
            case 0x20:
                held = struct.unpack_from("=I", words, value)[0]
            case 0x54:
                held &= value
            case 0x15:
                at += if_true if held == value else if_false
            case 0x35:
                at += if_true if held >= value else if_false
            case 0x06:
                return value


@pytest.fixture(params=["x86_64", "aarch64"])
def ask(request):
    """What a worker's filter says of a call by its name."""
    machine = request.param
    architecture, numbers = seccomp.ARCHITECTURES[machine], NUMBERS[machine]
    program = seccomp.assemble(sandbox.rules(), architecture, numbers)

    def say(name: str | int, *arguments: int, architecture: int = architecture) -> int:
        return verdict(program, architecture, name if isinstance(name, int) else numbers[name], *arguments)

    return say


@pytest.mark.parametrize("name", ["read", "write", "sendmsg", "epoll_pwait", "futex", "memfd_create", "exit_group"])
def test_what_a_worker_does_is_allowed(ask, name):
    assert ask(name) == seccomp.ALLOW


@pytest.mark.parametrize("name", ["execve", "ptrace", "setns", "unshare", "mount", "bpf", "pidfd_getfd"])
def test_what_only_an_attacker_does_is_deadly(ask, name):
    assert ask(name) == seccomp.KILL


def test_what_nobody_thought_of_fails(ask):
    assert ask(1000) == EPERM
    assert ask("clone3") == ENOSYS


def test_another_machines_calls_are_deadly(ask):
    assert ask("read", architecture=0x4000_0003) == seccomp.KILL
    assert ask(0x4000_0000) == seccomp.KILL


@pytest.mark.parametrize(
    ("flags", "found"), [(0, seccomp.ALLOW), (0o2000000, seccomp.ALLOW), (1, EPERM), (0o102, EPERM)]
)
def test_files_are_opened_for_reading(ask, flags, found):
    assert ask("openat", 0, 0, flags) == found


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "found"),
    [
        (2, 1, 6, seccomp.ALLOW),
        (10, 0o2000001, 0, seccomp.ALLOW),
        (10, 0o2000002, 0, seccomp.ALLOW),
        (2, 2, 17, seccomp.ALLOW),
        (2, 2, 1, EPERM),
        (1, 5, 0, EPERM),
        (2, 3, 0, EPERM),
        (17, 3, 0, EPERM),
        (16, 1, 0, EPERM),
    ],
)
def test_sockets_are_streams_and_datagrams(ask, family, kind, protocol, found):
    assert ask("socket", family, kind, protocol) == found


@pytest.mark.parametrize(("flags", "found"), [(0x10F00, seccomp.ALLOW), (17, EPERM), (0x1001_0000, EPERM)])
def test_threads_are_started_but_no_processes(ask, flags, found):
    assert ask("clone", flags) == found


def test_every_name_has_a_number():
    rules = sandbox.rules()
    named = {*rules.allowed, *rules.conditional, *rules.unknown, *rules.deadly}
    assert named <= NUMBERS["x86_64"].keys()
    assert not rules.allowed & rules.deadly
