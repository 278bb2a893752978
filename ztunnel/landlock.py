"""Landlock (landlock(7)): a process gives up what it may do with files, and whom it may signal, for good.

Unlike file permissions it also holds where all parts of ztunnel are one user, and for what others forgot to close.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_READ_FILE: Final = 1 << 2
_READ_DIRECTORY: Final = 1 << 3

_RIGHTS: Final = (13, 14, 15, 15, 16)
"""How many rights to files the interface has, from its first version to the fifth; later ones have as many."""
_SCOPES_SINCE: Final = 6
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals stay within the domain."""

_SYS_CREATE_RULESET: Final = 444  # the same on every machine
_SYS_ADD_RULE: Final = 445
_SYS_RESTRICT_SELF: Final = 446
_RULE_PATH_BENEATH: Final = 1
_VERSION: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The version of the kernel's interface; 0 where there is none."""
    found: int = _LIBC.syscall(_SYS_CREATE_RULESET, None, ctypes.c_ulong(0), ctypes.c_ulong(_VERSION))
    return max(0, found)


def missing() -> str | None:
    """What this kernel lacks of it; None if nothing."""
    found = version()
    if not found:
        return "this kernel has no Landlock (it came with Linux 5.13; look for landlock in lsm=)"
    if found < _SCOPES_SINCE:
        return f"this kernel's Landlock, version {found}, does not keep signals in (Linux 6.12 does)"
    return None


def restrict(readable: Iterable[Path]) -> None:
    """From now on read nothing but these files and what is beneath these directories, write, make and run nothing,
    and signal nobody. What is open stays open.

    A path that cannot be had is left out. Does nothing where there is no Landlock. Raises OSError if the kernel
    refuses; needs no-new-privileges.
    """
    found = version()
    if not found:
        return
    rights = (1 << _RIGHTS[min(found, len(_RIGHTS)) - 1]) - 1
    attributes = struct.pack("@3Q", rights, 0, _SCOPES if found >= _SCOPES_SINCE else 0)
    ruleset = _call(_SYS_CREATE_RULESET, attributes, len(attributes) if found >= _SCOPES_SINCE else 8, 0)
    try:
        for path in readable:
            _let_read(ruleset, path)
        _call(_SYS_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _let_read(ruleset: int, path: Path) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | _READ_DIRECTORY if path.is_dir() else _READ_FILE
        _call(_SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes) -> int:
    made: int = _LIBC.syscall(number, *(ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments))
    if made < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"Landlock refuses: {os.strerror(fault)}")
    return made
