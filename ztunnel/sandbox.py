"""What a worker may ask of the kernel, and see of the files: what it was seen to do in all its tests, and little more.

Whatever is not named here fails with EPERM. Calls that no worker has a reason to make, and that an attacker begins
with, end it; the keeper then says so and starts another.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import mesh
import ztunnel
from ztunnel import landlock, seccomp
from ztunnel.seccomp import Among
from ztunnel.syscalls import NUMBERS


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALLOWED: Final = _names(
    """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
    sendto setsockopt shutdown
    close close_range dup dup2 dup3 eventfd2 ftruncate lseek memfd_create pipe pipe2 pread64 preadv read readv sendfile
    splice tee write writev
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait poll ppoll pselect6 select
    timerfd_create timerfd_gettime timerfd_settime
    access faccessat faccessat2 fadvise64 fstat fstatfs getcwd getdents64 lstat newfstatat readlink readlinkat stat
    statx
    brk madvise mmap mprotect mremap munmap
    clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time times
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack
    futex get_robust_list membarrier restart_syscall rseq sched_getaffinity sched_yield set_robust_list set_tid_address
    capget getegid geteuid getgid getgroups getpgrp getpid getppid getrandom getresgid getresuid getrlimit getrusage
    getsid gettid getuid sysinfo uname wait4 waitid
    exit exit_group
    """
)

_DEADLY: Final = _names(
    """
    execve execveat
    kcmp pidfd_getfd pidfd_open process_madvise process_vm_readv process_vm_writev ptrace
    chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_by_handle_at open_tree pivot_root setns
    swapoff swapon umount2 unshare
    acct add_key bpf delete_module finit_module init_module io_uring_enter io_uring_register io_uring_setup
    kexec_file_load kexec_load keyctl perf_event_open reboot request_key userfaultfd
    """
)

_OPEN_CHANGES: Final = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CLONE_THREAD: Final = 0x0001_0000
_CLONE_NAMESPACES: Final = 0x7E02_0080
_SOCKET_KIND: Final = 0xF
_PR_SET_NAME: Final = 15
_TCGETS, _FIONREAD, _FIONBIO, _FIONCLEX, _FIOCLEX = 0x5401, 0x541B, 0x5421, 0x5450, 0x5451
_DESCRIPTOR_COMMANDS: Final = (
    *(fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL),
    *(fcntl.F_ADD_SEALS, fcntl.F_GET_SEALS),
)


def rules() -> seccomp.Filter:
    """The filter of every worker. It may signal nobody, not even itself."""
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    stream = Among(1, (socket.SOCK_STREAM,), _SOCKET_KIND)
    kinds = Among(1, (socket.SOCK_STREAM, socket.SOCK_DGRAM), _SOCKET_KIND)  # datagrams to ask for names; none raw,
    protocols = Among(2, (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP))  # whatever CAP_NET_RAW would permit
    conditional: Mapping[str, tuple[Among, ...]] = {
        "socket": (Among(0, families), kinds, protocols),
        "socketpair": (Among(0, (socket.AF_UNIX,)), stream),
        "open": (Among(1, (os.O_RDONLY,), _OPEN_CHANGES),),
        "openat": (Among(2, (os.O_RDONLY,), _OPEN_CHANGES),),
        "clone": (Among(0, (_CLONE_THREAD,), _CLONE_THREAD | _CLONE_NAMESPACES),),
        "fcntl": (Among(1, _DESCRIPTOR_COMMANDS),),
        "ioctl": (Among(1, (_TCGETS, _FIONREAD, _FIONBIO, _FIONCLEX, _FIOCLEX)),),
        "prctl": (Among(0, (_PR_SET_NAME,)),),
        "prlimit64": (Among(0, (0,)),),
    }
    return seccomp.Filter(_ALLOWED, conditional, unknown=("clone3",), deadly=_DEADLY)


def missing() -> dict[str, str]:
    """What this platform lacks to hold workers in: which layer, and in words."""
    found = {"seccomp": seccomp.missing(), "landlock": landlock.missing()}
    return {layer: lack for layer, lack in found.items() if lack}


def enter() -> None:
    """Hold this process, which has one thread and no-new-privileges, to what a worker needs; as far as the platform
    can. Raises OSError if it can and then does not; then the process must end."""
    landlock.restrict(_READABLE)
    if seccomp.missing() is None:
        seccomp.install(_PROGRAM)


def _readable() -> Iterator[Path]:
    """The code, for modules that are imported late and for the lines of tracebacks; and the time zone, for the log."""
    yield from (path for path in map(Path, sys.path) if path.is_absolute())
    for package in (mesh, ztunnel):
        yield from (Path(place) for place in package.__path__)
    yield Path("/etc/localtime")


def _program() -> bytes:
    machine = os.uname().machine
    known = machine in seccomp.ARCHITECTURES
    return seccomp.assemble(rules(), seccomp.ARCHITECTURES[machine], NUMBERS[machine]) if known else b""


# Made once, where workers are forked, so that it is in nobody's own memory.
_READABLE: Final = tuple(_readable())
_PROGRAM: Final = _program()
