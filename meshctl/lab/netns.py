"""A network namespace held by a file descriptor: it lives as long as somebody holds it, and leaves no name behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshctl.lab import kernel


class Netns:
    """One network namespace.

    Entering is a matter of microseconds and concerns the calling thread only; the daemon does it on its main
    thread and never awaits inside.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def current(cls) -> Netns:
        """Hold the namespace this thread is in."""
        return cls(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def create(cls) -> Netns:
        """Make a new, empty namespace and stay in the old one."""
        here = cls.current()
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
            try:
                return cls.current()
            finally:
                kernel.setns(here.fd, kernel.CLONE_NEWNET)
        finally:
            here.close()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside for the length of the block."""
        here = self.current()
        try:
            kernel.setns(self.fd, kernel.CLONE_NEWNET)
            try:
                yield
            finally:
                kernel.setns(here.fd, kernel.CLONE_NEWNET)
        finally:
            here.close()

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """Make an IPv4 socket that belongs to this namespace."""
        with self.entered():
            made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        return made

    def set_sysctls(self, values: dict[str, str]) -> None:
        """Write settings of this namespace; names as in sysctl(8), with slashes."""
        with self.entered():
            for name, value in values.items():
                Path("/proc/sys", name).write_text(value, encoding="ascii")

    def close(self) -> None:
        """Let go; the kernel destroys the namespace once no process and no descriptor holds it."""
        os.close(self.fd)
