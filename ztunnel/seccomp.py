"""Filters of system calls (seccomp(2)): what a process may ask of the kernel from now on, for good.

A filter is a small program for the kernel's classic BPF machine (bpf(2), linux/filter.h). It is assembled here rather
than by libseccomp, for it is some lines, and every forked worker would carry the library.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

KILL: Final = 0x8000_0000
"""What a filter does: end the process by SIGSYS. Nobody gets here but by an attack."""
ALLOW: Final = 0x7FFF_0000


def fail(error: int) -> int:
    """What a filter does: let the call fail with this errno."""
    return 0x0005_0000 | error


@dataclass(frozen=True, slots=True)
class Among:
    """That an argument, or the bits of it that the mask leaves, is one of these values. Only its low 32 bits count,
    as they do for the kernel in the calls that this is used for."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Filter:
    """What becomes of each system call, by its name; a name that the machine does not have is passed over."""

    allowed: Collection[str]
    conditional: Mapping[str, tuple[Among, ...]]
    """Allowed if all conditions hold, and EPERM otherwise."""
    unknown: Collection[str]
    """ENOSYS: the C library then takes an older call, whose arguments a filter can see."""
    deadly: Collection[str]
    otherwise: int = fail(errno.EPERM)


ARCHITECTURES: Final[Mapping[str, int]] = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
"""By uname(2)'s name of the machine, the kernel's (linux/audit.h)."""

_X32: Final = 0x4000_0000
"""This bit marks calls of the x32 ABI, which have other numbers."""

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_INSTRUCTION: Final = struct.Struct("=HBBI")

_NUMBER: Final = 0  # offsets in struct seccomp_data (linux/seccomp.h); both machines are little-endian
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16


def assemble(rules: Filter, architecture: int, numbers: Mapping[str, int]) -> bytes:
    """The program of a filter, for one architecture and its numbers of calls."""

    def of(names: Iterable[str]) -> list[int]:
        return sorted(numbers[name] for name in names if name in numbers)

    code = [_load(_ARCHITECTURE), *_require((architecture,), KILL), _load(_NUMBER)]
    code += [_instruction(_IF_AT_LEAST, _X32, 0, 1), _return(KILL)]
    for name, conditions in rules.conditional.items():
        if name in numbers:
            code += _case(numbers[name], [*_all(conditions, rules.otherwise), _return(ALLOW)])
    for number in of(rules.deadly):
        code += _case(number, [_return(KILL)])
    for number in of(rules.unknown):
        code += _case(number, [_return(fail(errno.ENOSYS))])
    code += [*_require(of(rules.allowed), rules.otherwise), _return(ALLOW)]
    return b"".join(code)


def install(program: bytes) -> None:
    """Put the filter over this thread, and all that it will ever start. Raises OSError; needs no-new-privileges."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    nothing = ctypes.c_ulong(0)
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    if _LIBC.prctl(_PR_SET_SECCOMP, mode, ctypes.c_char_p(header), nothing, nothing):
        fault = ctypes.get_errno()
        raise OSError(fault, f"cannot filter system calls: {os.strerror(fault)}")


def missing() -> str | None:
    """Why calls cannot be filtered here; None if they can."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        return f"system calls are filtered on {' and '.join(ARCHITECTURES)}, not on {machine}"
    if _LIBC.prctl(_PR_GET_SECCOMP, *([ctypes.c_ulong(0)] * 4)) < 0:
        return "this kernel filters no system calls (CONFIG_SECCOMP_FILTER)"
    return None


_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, if_true, if_false, value)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _return(verdict: int) -> bytes:
    return _instruction(_RETURN, verdict)


def _require(values: Sequence[int], otherwise: int) -> list[bytes]:
    """Go on behind this if what was loaded is one of the values; there are 255 at most."""
    last = len(values)
    return [_instruction(_IF_EQUAL, value, last - at) for at, value in enumerate(values)] + [_return(otherwise)]


def _case(value: int, then: Sequence[bytes]) -> list[bytes]:
    """Do this, which ends in a verdict, if what was loaded is the value; else go on behind it."""
    return [_instruction(_IF_EQUAL, value, 0, len(then)), *then]


def _all(conditions: Iterable[Among], otherwise: int) -> list[bytes]:
    code: list[bytes] = []
    for one in conditions:
        code += [_load(_ARGUMENTS + 8 * one.argument), _instruction(_AND, one.mask)]
        code += _require([value & 0xFFFF_FFFF for value in one.values], otherwise)
    return code
