"""Runs a command of `meshctl lab exec` on a terminal of its own, so that shells and editors work inside."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import termios
import tty
from types import FrameType

from meshctl.client import checked
from meshctl.config import terminal_kind
from meshctl.lab.place import Place
from meshctl.lab.wire import Caller

_CHUNK = 65536


def run(caller: Caller, request: dict[str, object], where: Place) -> int:
    """Send the request with a new terminal, relay between it and ours, and return the command's exit code."""
    ours, theirs = pty.openpty()
    _copy_size(theirs)
    caller.send({**request, "terminal": terminal_kind()}, (theirs, theirs, theirs))
    os.close(theirs)

    def resize(_number: int, _frame: FrameType | None) -> None:
        _copy_size(ours)

    signal.signal(signal.SIGWINCH, resize)
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        return _relay(caller, ours, where)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.close(ours)


def _copy_size(terminal: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))


def _relay(caller: Caller, ours: int, where: Place) -> int:
    while True:
        readable, _, _ = select.select([0, ours, caller.sock.fileno()], [], [])
        if ours in readable and (shown := _read(ours)):
            os.write(1, shown)
        elif caller.sock.fileno() in readable:
            return int(checked(caller.receive(), where)["exit"])
        elif 0 in readable:
            os.write(ours, os.read(0, _CHUNK))


def _read(terminal: int) -> bytes:
    """Read what there is; Linux says EIO when nobody has the other end open."""
    try:
        return os.read(terminal, _CHUNK)
    except OSError:
        return b""
