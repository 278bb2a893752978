"""Rules in a pod that nobody serves: its worker ended while no keeper was there to see it."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from ztunnel import netns
from ztunnel.keeper import rules
from ztunnel.keeper.record import Record

_log = logging.getLogger("ztunnel.keeper")


async def clear(record: Record) -> bool:
    """Remove what is left in the pod of this record, if any process of the pod still lives; whether that is done."""
    namespace = _find(record.namespace)
    if namespace is None:
        return True  # the last process of a pod takes its network along
    try:
        with netns.entered(namespace):
            ipv6 = netns.has_ipv6()
        await rules.remove(namespace, ipv6=ipv6)
    except (OSError, rules.RulesFailed) as fault:
        _log.warning("%s: what its worker left behind cannot be removed: %s", record.pod, fault)
        return False
    finally:
        os.close(namespace)
    _log.info("%s: removed the rules of a worker that ended while no keeper was there", record.pod)
    return True


def _find(identity: tuple[int, int]) -> int | None:
    """A descriptor of the network namespace with this device and inode, by way of a process that is in it."""
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(process / "ns" / "net", os.O_RDONLY | os.O_CLOEXEC)
            if netns.identity(descriptor) == identity:
                return descriptor
            os.close(descriptor)
    return None
