"""What a process of a worker's user and capabilities can still do, without the sandbox that the kernel may lack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ztunnel import confine

pytestmark = pytest.mark.netns

CAP_NET_RAW = 1 << 13
OWN_USERS = confine.maps_user(Path("/proc/self/uid_map").read_text(), confine.FIRST_WORKER_UID)

TRIAL = """
import ctypes, dataclasses, json, os, resource, socket, struct, subprocess, sys
from pathlib import Path
from ztunnel import confine, netns

netns_fd, sibling, uid = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
own = confine.SUPERVISOR if uid == confine.SUPERVISOR_UID else confine.worker(uid)
reduced = confine.confine(dataclasses.replace(own, sandboxed=False))
libc = ctypes.CDLL(None, use_errno=True)

def attempt(what):
    try:
        what()
    except OSError as fault:
        return fault.strerror
    return "done"

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def peek():
    buffer = ctypes.create_string_buffer(16)
    piece = struct.pack("@PN", ctypes.addressof(buffer), 16)
    call("process_vm_readv", sibling, piece, 1, piece, 1, 0)

def bind_foreign():
    foreign = socket.socket()
    foreign.setsockopt(socket.SOL_IP, 19, 1)
    foreign.bind(("192.0.2.7", 0))

def raise_capabilities():
    call("capset", struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0xFFFFFFFF] * 6))

def own_key():
    key = os.memfd_create("key")
    os.write(key, b"secret")
    assert Path(f"/proc/self/fd/{key}").read_bytes() == b"secret"

sock = socket.socket()
print(json.dumps({
    "reduced": reduced,
    "status": Path("/proc/self/status").read_text(),
    "after exec": subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout,
    "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
    "setns": attempt(lambda: netns.enter(netns_fd)),
    "unshare": attempt(lambda: call("unshare", 0x40000000)),
    "ptrace": attempt(lambda: call("ptrace", 16, sibling, 0, 0)),
    "peek": attempt(peek),
    "take socket": attempt(lambda: call("syscall", 438, os.pidfd_open(sibling), 0, 0)),
    "namespace": attempt(lambda: open(f"/proc/{sibling}/ns/net").close()),
    "mount": attempt(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
    "capabilities": attempt(raise_capabilities),
    "memory": attempt(lambda: open(f"/proc/{sibling}/mem", "rb").close()),
    "environment": attempt(lambda: open(f"/proc/{sibling}/environ", "rb").read()),
    "descriptors": attempt(lambda: os.listdir(f"/proc/{sibling}/fd")),
    "signal": attempt(lambda: os.kill(sibling, 0)),
    "file": attempt(lambda: open(sys.argv[4], "w").close()),
    "root": attempt(lambda: os.setresuid(0, 0, 0)),
    "groups": attempt(lambda: os.setgroups([0])),
    "mark": attempt(lambda: sock.setsockopt(socket.SOL_SOCKET, 36, 0x539)),
    "foreign address": attempt(bind_foreign),
    "own key": attempt(own_key),
}))
"""

SIBLING = """
import sys
from ztunnel import confine
confine.confine(confine.worker(int(sys.argv[1])))
print("confined", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sibling():
    """Another pod's worker, as it were."""
    process = subprocess.Popen(
        [sys.executable, "-c", SIBLING, str(confine.FIRST_WORKER_UID + 1)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "confined\n"
    yield process.pid
    process.stdin.close()
    process.wait(10)


@pytest.fixture
def found(pod, sibling, tmp_path):
    """What a worker found when it tried everything."""
    return trial(pod, sibling, tmp_path, confine.FIRST_WORKER_UID)


def trial(pod, sibling, tmp_path, uid):
    """Everything tried by a process that is confined to this user."""
    victim = tmp_path / "of-another"
    victim.write_text("untouched")
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o711)  # what stops the worker is the file itself
    done = subprocess.run(
        [sys.executable, "-c", TRIAL, str(pod.namespace), str(sibling), str(uid), str(victim)],
        capture_output=True,
        text=True,
        pass_fds=(pod.namespace,),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def field(status: str, name: str) -> str:
    return next(line.split(":", 1)[1].strip() for line in status.splitlines() if line.startswith(f"{name}:"))


def test_it_keeps_one_capability_and_no_way_to_more(found):
    status = found["status"]
    assert int(field(status, "CapEff"), 16) == int(field(status, "CapPrm"), 16) == CAP_NET_RAW
    assert [int(field(status, name), 16) for name in ("CapInh", "CapBnd", "CapAmb")] == [0, 0, 0]
    assert field(status, "NoNewPrivs") == "1"
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(field(found["after exec"], name), 16) == 0
    assert found["core"] == 0


def test_it_is_a_user_of_its_own_where_there_are_users_to_spare(found):
    users = {int(uid) for uid in field(found["status"], "Uid").split()}
    if OWN_USERS:
        assert found["reduced"] is None
        assert users == {confine.FIRST_WORKER_UID}
        assert field(found["status"], "Groups") == ""
        assert (found["root"], found["groups"]) == ("Operation not permitted", "Operation not permitted")
    else:
        assert "no users to spare" in found["reduced"]
        assert users == {os.getuid()}


def test_it_leaves_its_namespace_for_no_other(found):
    assert found["setns"] == "cannot enter the network namespace: Operation not permitted"
    assert found["unshare"] == "Operation not permitted"


def test_it_reaches_no_sibling(found):
    assert_reads_nothing(found)
    if OWN_USERS:
        assert found["signal"] == "Operation not permitted"


def assert_reads_nothing(found):
    for attack in ("ptrace", "peek", "take socket"):
        assert found[attack] == "Operation not permitted", attack
    for attack in ("memory", "environment", "namespace"):
        assert found[attack] == "Permission denied", attack
    if OWN_USERS:
        assert found["descriptors"] == "Permission denied"


def test_it_gains_nothing(found):
    assert found["mount"] == "Operation not permitted"
    assert found["capabilities"] == "Operation not permitted"


def test_the_supervisor_reads_no_worker(pod, sibling, tmp_path):
    found = trial(pod, sibling, tmp_path, confine.SUPERVISOR_UID)
    assert_reads_nothing(found)
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert int(field(found["status"], name), 16) == 0
    assert field(found["status"], "NoNewPrivs") == "1"
    assert found["setns"] == "cannot enter the network namespace: Operation not permitted"


def test_it_writes_nobody_elses_files(found):
    assert found["file"] == ("Permission denied" if OWN_USERS else "done")


def test_what_its_work_takes_is_left(found):
    assert (found["mark"], found["foreign address"], found["own key"]) == ("done", "done", "done")
