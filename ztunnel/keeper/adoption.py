"""Finds the workers that a killed keeper left, or one of another release, and takes their listeners.

A worker lives on when its keeper dies, and so do its listeners and the rules that lead to them. The next keeper takes
all three over as they are. A keeper that became another release left it the listeners, too; else it takes duplicates
of the worker's. It reads /proc and uses pidfd_getfd(2), which both need CAP_SYS_PTRACE: no worker lets anybody else
look into it.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import select
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ztunnel import capture, confine, netns
from ztunnel.keeper.inheritance import Inheritance
from ztunnel.keeper.listeners import Listeners
from ztunnel.keeper.record import Record
from ztunnel.keeper.worker import Worker

_PIDFD_GETFD: Final = 438
_SIOCGSKNS: Final = 0x894C
"""The network namespace that a socket is in, as a descriptor (linux/sockios.h)."""

_STARTED: Final = 19
"""The field `starttime` of /proc/PID/stat, counted from the one after the name (proc_pid_stat(5))."""

_TCP_PORTS: Final = (capture.OUTBOUND_PORT, capture.INBOUND_PLAINTEXT_PORT, capture.INBOUND_PORT)
_BOTH: Final = ((capture.NAMES_PORT, socket.SOCK_DGRAM), (capture.NAMES_PORT, socket.SOCK_STREAM))
_NAMES: Final = {2: _BOTH, 4: (*_BOTH, *_BOTH)}
"""What listens on 15053, with one address family and with two."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

_log = logging.getLogger("ztunnel.keeper")


@dataclass(frozen=True, slots=True)
class Found:
    """A worker that is what its record says, or what it left. Whoever gets it owns all that is in it."""

    worker: Worker | None
    """None if it has ended; then its listeners are there."""
    namespace: int
    listeners: Listeners | None
    """None if it listens no more, because it drains."""
    ipv6: bool


def find(record: Record, inheritance: Inheritance) -> Found | None:
    """The worker of a record; None if nothing is left of it, be its pid somebody else's now or nobody's.

    One that cannot be looked into is told to drain, for it would keep its ports from the next.
    """
    listeners = inheritance.take(record.listeners)
    found = _find_alive(record, listeners)
    if found is None and listeners is not None:
        found = _orphaned(listeners)
    return found


def _orphaned(listeners: Listeners) -> Found | None:
    """Listeners without a worker."""
    try:
        return Found(None, fcntl.ioctl(listeners.outbound, _SIOCGSKNS), listeners, listeners.ipv6)
    except OSError as fault:
        _log.warning("listeners without a worker are of no use: %s", fault)
        listeners.close()
        return None


def _find_alive(record: Record, listeners: Listeners | None) -> Found | None:
    try:
        worker = Worker(record.pid, None)
    except OSError:
        return None
    found = None
    try:
        if not _is(record, worker):
            _log.warning("%s: worker %d has ended, and its number is another's now", record.pod, record.pid)
        else:
            found = _look_into(record, worker, listeners)
            if found is None:
                worker.send(signal.SIGTERM)
    except OSError:
        _log.warning("%s: worker %d has ended", record.pod, record.pid)
    if found is None:
        worker.reap()
        worker.close()
    return found


def started(pid: int) -> int:
    """When a process was started, in clock ticks since boot; raises OSError if there is none."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_STARTED])


def _is(record: Record, worker: Worker) -> bool:
    same = started(record.pid) == record.started and _user(record.pid) == confine.actual_uid(record.uid)
    # What was read under its pid was about this process only if it still lives.
    return same and not select.select([worker.pidfd], [], [], 0)[0]


def _look_into(record: Record, worker: Worker, listeners: Listeners | None) -> Found | None:
    try:
        namespace = os.open(f"/proc/{worker.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as fault:
        _log.warning("%s: worker %d cannot be adopted: %s", record.pod, worker.pid, fault)
        return None
    try:
        if netns.identity(namespace) == record.namespace:
            with netns.entered(namespace):
                ipv6 = netns.has_ipv6()
            return Found(worker, namespace, listeners or _listeners(record, worker, namespace), ipv6)
        why = "it is in another network namespace than its pod was"
    except OSError as fault:
        why = str(fault)
    os.close(namespace)
    _log.warning("%s: worker %d cannot be adopted: %s", record.pod, worker.pid, why)
    return None


def _user(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))


def _listeners(record: Record, worker: Worker, namespace: int) -> Listeners | None:
    """Duplicates of its listeners, if it still has them all and each listens where it should."""
    taken: list[socket.socket] = []
    names = len(record.listeners) - len(_TCP_PORTS)
    if names not in _NAMES:
        return None
    places = (*((port, socket.SOCK_STREAM) for port in _TCP_PORTS), *_NAMES[names])
    try:
        held = _sockets(worker.pid, record.listeners)
        for inode, place in zip(record.listeners, places, strict=True):
            if inode not in held:
                break
            taken.append(_duplicate(worker.pidfd, held[inode]))
            if os.fstat(taken[-1].fileno()).st_ino != inode or not _listens(taken[-1], place, namespace):
                break
        else:
            return Listeners.of(taken)
    except OSError as fault:
        _log.warning("%s: cannot take the listeners of worker %d: %s", record.pod, worker.pid, fault)
    for sock in taken:
        sock.close()
    return None


def _sockets(pid: int, inodes: tuple[int, ...]) -> dict[int, int]:
    """The descriptors that a process has of these sockets, by inode. It had them first, so their numbers are small."""
    missing = {f"socket:[{inode}]": inode for inode in inodes}
    held: dict[int, int] = {}
    directory = Path(f"/proc/{pid}/fd")
    for descriptor in sorted(int(entry.name) for entry in directory.iterdir()):
        try:
            inode = missing.pop(str((directory / str(descriptor)).readlink()), None)
        except FileNotFoundError:
            continue  # closed meanwhile
        if inode is not None:
            held[inode] = descriptor
        if not missing:
            break
    return held


def _duplicate(pidfd: int, descriptor: int) -> socket.socket:
    taken = _LIBC.syscall(_PIDFD_GETFD, pidfd, descriptor, 0)
    if taken < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"pidfd_getfd: {os.strerror(fault)}")
    return socket.socket(fileno=taken)


def _listens(sock: socket.socket, place: tuple[int, socket.SocketKind], namespace: int) -> bool:
    port, kind = place
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != kind:
        return False
    home = fcntl.ioctl(sock, _SIOCGSKNS)
    try:
        at_home = netns.identity(home) == netns.identity(namespace)
    finally:
        os.close(home)
    listening = kind == socket.SOCK_DGRAM or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return at_home and bool(listening) and int(sock.getsockname()[1]) == port
