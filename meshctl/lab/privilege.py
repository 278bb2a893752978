"""What a container's processes may do: the capabilities containers usually keep, less raw sockets.

Without CAP_NET_RAW and CAP_NET_ADMIN a pod can neither mark its packets to pass beside the mesh nor change its own
capture rules.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from meshctl.lab import kernel

CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_NICE": 23,
}
USUAL = frozenset(
    CAPABILITIES.keys() - {"DAC_READ_SEARCH", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_ADMIN", "SYS_NICE"}
)


@dataclass(frozen=True, slots=True)
class Privilege:
    """As whom a container runs and with which capabilities."""

    user: int = 0
    group: int = 0
    capabilities: frozenset[str] = USUAL


def several_users() -> bool:
    """Return whether this user namespace maps more than one uid; an ordinary user's lab has one."""
    with open("/proc/self/uid_map", encoding="ascii") as lines:  # noqa: PTH123
        return sum(int(line.split()[2]) for line in lines) > 1


def assume(privilege: Privilege) -> None:
    """Make the calling process what it is to be. Where there is one uid only, everybody shares it."""
    kernel.forbid_capabilities(frozenset(CAPABILITIES[name] for name in privilege.capabilities))
    if several_users():
        os.setgroups([])
        os.setresgid(privilege.group, privilege.group, privilege.group)
        os.setresuid(privilege.user, privilege.user, privilege.user)
    kernel.forbid_new_privileges()
