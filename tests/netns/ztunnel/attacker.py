"""A real zygote whose workers have been taken over: each runs the attack that its pod is named for, and tells.

What it tells is one JSON text on the descriptor for readiness: `done` or what it got, or the error of the kernel.
"""

import ctypes
import json
import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import NoReturn

import impostor

from ztunnel import netns, zygote
from ztunnel.worker.start import Start

LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read(path: str) -> None:
    with Path(path).open("rb") as file:
        file.read(16)


def enlist(path: str) -> None:
    list(Path(path).iterdir())


def write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def peek(pid: int) -> None:
    buffer = ctypes.create_string_buffer(16)
    piece = struct.pack("@PN", ctypes.addressof(buffer), 16)
    call("process_vm_readv", pid, piece, 1, piece, 1, 0)


def take_socket(pid: int) -> None:
    call("syscall", 438, os.pidfd_open(pid), 0, 0)


def raise_capabilities() -> None:
    everything = 0xFFFFFFFF
    call("capset", struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[everything] * 6))


def sniff() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300)


def craft() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)


def reach_agent(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mine:
        mine.connect(path)


def fork() -> None:
    if not os.fork():
        os._exit(0)


def run_thread() -> None:
    thread = threading.Thread(target=os.getpid)
    thread.start()
    thread.join()


def own_key() -> None:
    key = os.memfd_create("key")
    os.write(key, b"secret")
    assert Path(f"/proc/self/fd/{key}").read_bytes() == b"secret"


ATTACKS = {
    "memory": lambda pid: read(f"/proc/{pid}/mem"),
    "environment": lambda pid: read(f"/proc/{pid}/environ"),
    "descriptors": lambda pid: enlist(f"/proc/{pid}/fd"),
    "peek": peek,
    "attach": lambda pid: call("ptrace", 16, pid, None, None),
    "take-socket": take_socket,
    "open-namespace": lambda pid: read(f"/proc/{pid}/ns/net"),
    "enter-namespace": lambda pid: netns.enter(0),
    "unshare-user": lambda pid: call("unshare", 0x10000000),
    "exec": lambda pid: os.execv("/bin/true", ["true"]),
    "fork": lambda pid: fork(),
    "mount": lambda pid: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "bpf": lambda pid: call("syscall", 321, 0, None, 0),
    "kill": lambda pid: os.kill(pid, signal.SIGKILL),
    "capabilities": lambda pid: raise_capabilities(),
    "root": lambda pid: os.setresuid(0, 0, 0),
    "dumpable": lambda pid: call("prctl", 4, 1, 0, 0, 0),
    "sniff": lambda pid: sniff(),
    "craft": lambda pid: craft(),
    "read-passwd": lambda pid: read("/etc/passwd"),
    "list-root": lambda pid: enlist("/"),
    "write-tmp": lambda pid: write("/tmp/ambit-attack"),
    "write-shm": lambda pid: write("/dev/shm/ambit-attack"),
    "thread": lambda pid: run_thread(),
    "wait": lambda pid: None,
    "own-key": lambda pid: own_key(),
}
ON_PATHS = {
    "read-file": read,
    "list-files": enlist,
    "write-file": write,
    "remove-file": os.unlink,
    "reach-agent": reach_agent,
}


ON_OTHERS = {
    "say": impostor.say,
    "call-keeper": impostor.call_keeper,
    "forge-credentials": impostor.forge_credentials,
    "ask-authority": impostor.ask_authority,
    "belongings": impostor.belongings,
}


def work(start: Start) -> NoReturn:
    attack, victim = start.pod.name, start.pod.uid
    try:
        told = "done"
        if attack in ON_OTHERS:
            told = ON_OTHERS[attack](start.supervisor, victim)
        elif attack in ON_PATHS:
            ON_PATHS[attack](victim)
        else:
            ATTACKS[attack](int(victim))
    except OSError as fault:
        told = os.strerror(fault.errno)
    os.write(start.ready, json.dumps(told).encode())
    if attack == "wait":
        threading.Event().wait()
    sys.exit(0)


if __name__ == "__main__":
    zygote.run(socket.socket(fileno=int(sys.argv[1])), work)
