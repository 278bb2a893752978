"""Network namespaces by descriptor: entering one, and telling two apart.

Entering moves the calling thread only. It must be a thread that does nothing else meanwhile, and never one that a pool
hands to somebody else afterwards.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def enter(netns: int) -> None:
    """Move this thread into the namespace; raises OSError. Needs CAP_SYS_ADMIN."""
    if _LIBC.setns(netns, _CLONE_NEWNET):
        fault = ctypes.get_errno()
        raise OSError(fault, f"cannot enter the network namespace: {os.strerror(fault)}")


@contextmanager
def entered(netns: int) -> Iterator[None]:
    """Be in the namespace for the length of a block, which must not wait for anything.

    A thread that cannot come back is of no further use: the OSError of the way back ends the process.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(netns)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def identity(netns: int) -> tuple[int, int]:
    """What tells a namespace from every other as long as somebody holds it."""
    status = os.fstat(netns)
    return status.st_dev, status.st_ino


def has_ipv6() -> bool:
    """Whether the namespace that this thread is in has IPv6."""
    try:
        return Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").read_text() == "0\n"
    except FileNotFoundError:
        return False
