"""How a part of ztunnel gives up, for good, every right that it does not need.

It gets a user and group of its own, no supplementary group, exactly the capabilities named (capabilities(7)), an empty
bounding set and locked secure bits, so that nothing it runs has more; no-new-privileges; it is not dumpable, so that
nobody but real root reads its memory; it leaves no core, and its descriptors and processes are bounded. A worker is
also held in by Landlock and a filter of its system calls (ztunnel.sandbox).
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from ztunnel import sandbox

SUPERVISOR_UID: Final = 1_336_999
ZYGOTE_UID: Final = 1_336_998
LAYERS: Final = ("users", "seccomp", "landlock")
"""What holds workers in besides capabilities, as far as the platform has it."""

FIRST_WORKER_UID: Final = 1_337_000
"""The worker in slot n of a node has this uid plus n."""


class Capability(IntEnum):
    """Those that some part of ztunnel holds, by their kernel numbers."""

    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    NET_ADMIN = 12
    NET_RAW = 13
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYS_RESOURCE = 24


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a process keeps."""

    uid: int
    """Its user and its group."""
    capabilities: frozenset[Capability] = frozenset()
    files: int = 131_072
    """Open descriptors at most; fewer if the hard limit is lower and not ours to raise."""
    processes: int = 64
    """Processes and threads of its user at most; only where the user is its own."""
    sandboxed: bool = False
    """Whether it is held to the system calls and the files that a worker needs."""


SUPERVISOR: Final = Confinement(SUPERVISOR_UID, processes=512)

KEEPER: Final = frozenset(
    (
        Capability.SYS_ADMIN,  # enters pods' network namespaces
        Capability.NET_ADMIN,  # sets their capture rules, by nft and ip
        Capability.SYS_PTRACE,  # takes over the listeners of a killed keeper's workers
        Capability.KILL,  # ends workers, which are other users
        Capability.SYS_RESOURCE,  # raises the hard limit of open descriptors, for the zygote's workers
        Capability.SETUID,  # these four for the zygote and the supervisor, which give them up
        Capability.SETGID,
        Capability.SETPCAP,
        Capability.NET_RAW,
    )
)
"""What the keeper, who stays root, and all that it runs may have at most."""

ZYGOTE: Final = Confinement(
    ZYGOTE_UID,
    frozenset(
        (
            Capability.SYS_ADMIN,  # a worker enters its pod's network namespace
            Capability.SETUID,
            Capability.SETGID,
            Capability.SETPCAP,
            Capability.NET_RAW,  # what a worker keeps
        )
    ),
    processes=4_096,
)


def worker(uid: int) -> Confinement:
    """A worker's: in its pod's network namespace it may mark packets and call under a foreign address."""
    return Confinement(uid, frozenset((Capability.NET_RAW,)), sandboxed=True)


def confine(confinement: Confinement) -> str | None:
    """Confine this process, which has one thread; returns None, or in words what could not be had on this platform.

    Raises OSError if anything else fails; then the process must end.
    """
    without = lacking(confinement)
    own_user = maps_user(Path("/proc/self/uid_map").read_text(), confinement.uid)
    _bound(())
    _prctl(_PR_SET_SECUREBITS, _SECUREBITS)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if own_user:
        os.setgroups([])
        os.setresgid(confinement.uid, confinement.uid, confinement.uid)
        os.setresuid(confinement.uid, confinement.uid, confinement.uid)
        _limit(resource.RLIMIT_NPROC, confinement.processes)
    _limit(resource.RLIMIT_NOFILE, confinement.files)
    _limit(resource.RLIMIT_CORE, 0)
    _keep_capabilities(confinement.capabilities)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    if confinement.sandboxed:
        sandbox.enter()
    return without


def keep_only(capabilities: Collection[Capability]) -> None:
    """Stay the same user, with none but these capabilities, and let nobody whom this process runs have more.

    What is not had now is not got. Memory is closed to others, and there are no new privileges: a program that is run
    as root gets what this process has. Raises OSError; needs CAP_SETPCAP.
    """
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _bound(capabilities)
    _keep_capabilities(frozenset(capabilities) & _permitted())
    _limit(resource.RLIMIT_CORE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def lacking(confinement: Confinement) -> str | None:
    """What a process confined to this does without here, in words; None if nothing."""
    return "; ".join(lacks(confinement).values()) or None


def lacks(confinement: Confinement) -> dict[str, str]:
    """The layers that a process confined to this does without here, and why: some of LAYERS."""
    found = {}
    if actual_uid(confinement.uid) != confinement.uid:
        found["users"] = "this user namespace has no users to spare: all parts of ztunnel share one"
    return found | (sandbox.missing() if confinement.sandboxed else {})


def actual_uid(uid: int) -> int:
    """The user that a process confined to this one really has: everybody's, where the user namespace has only one."""
    return uid if maps_user(Path("/proc/self/uid_map").read_text(), uid) else os.getuid()


def maps_user(uid_map: str, uid: int) -> bool:
    """Whether a user namespace with this /proc/PID/uid_map has that user (user_namespaces(7))."""
    for line in uid_map.splitlines():
        inside, _, count = (int(field) for field in line.split())
        if inside <= uid < inside + count:
            return True
    return False


def name_process(name: str) -> None:
    """What ps and top show; 15 bytes of it."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECUREBITS: Final = 28
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_SECUREBITS: Final = 0b1100_1111
"""NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each locked: user 0 is nobody special, and a change of user leaves
the capabilities to us."""

_CAPABILITY_VERSION: Final = 0x20080522
_CAPABILITIES: Final = 64

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int | ctypes.c_char_p) -> None:
    value = argument if isinstance(argument, ctypes.c_char_p) else ctypes.c_ulong(argument)
    nothing = ctypes.c_ulong(0)
    if _LIBC.prctl(option, value, nothing, nothing, nothing):
        fault = ctypes.get_errno()
        raise OSError(fault, f"prctl option {option}: {os.strerror(fault)}")


def _bound(kept: Collection[Capability]) -> None:
    """Leave nothing but these in the bounding set."""
    for capability in range(_CAPABILITIES):
        if capability in kept:
            continue
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as fault:
            if fault.errno != errno.EINVAL:
                raise
            return  # the kernel has no more


def _permitted() -> frozenset[Capability]:
    found = ctypes.create_string_buffer(24)
    if _LIBC.capget(struct.pack("Ii", _CAPABILITY_VERSION, 0), found):
        fault = ctypes.get_errno()
        raise OSError(fault, f"cannot see which capabilities there are: {os.strerror(fault)}")
    _, low, _, _, high, _ = struct.unpack("6I", found.raw)
    return frozenset(one for one in Capability if (low | high << 32) >> one & 1)


def _keep_capabilities(kept: Collection[Capability]) -> None:
    mask = sum(1 << capability for capability in kept)
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    sets = struct.pack("6I", low, low, 0, high, high, 0)  # effective, permitted, inheritable
    if _LIBC.capset(header, sets):
        fault = ctypes.get_errno()
        raise OSError(fault, f"cannot give up capabilities: {os.strerror(fault)}")


def _limit(what: int, most: int) -> None:
    """As many as said; fewer if the hard limit is lower, and is not ours to raise."""
    try:
        resource.setrlimit(what, (most, most))
    except ValueError:
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (hard, hard))
