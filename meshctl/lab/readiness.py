"""Keeps a container's `ready` true to its readiness probe."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from ipaddress import IPv4Address

from meshctl.lab.container import Container
from meshctl.lab.init import SpawnFailed, Stdio
from meshctl.lab.netns import Netns
from meshctl.lab.probe import EAGER_SECONDS, Exec, Probe, succeeds


async def watch_readiness(
    container: Container, probe: Probe, node: Netns, address: IPv4Address, changed: Callable[[], None]
) -> None:
    """Probe for ever. One success makes it ready; `failureThreshold` failures in a row make it unready."""
    failures, asked_since = 0, None
    while True:
        state = container.state
        if state.running_since is None:
            await asyncio.sleep(EAGER_SECONDS)
            continue
        if asked_since != state.running_since:
            asked_since, failures = state.running_since, 0
            await asyncio.sleep(probe.delay)
        passed = await succeeds(probe, node, address, _exec_in(container))
        failures = 0 if passed else failures + 1
        ready = state.running_since is not None and (passed or (state.ready and failures < probe.failures))
        if ready != state.ready:
            state.ready = ready
            changed()
        await asyncio.sleep(probe.period if ready else min(probe.period, EAGER_SECONDS))


def _exec_in(container: Container) -> Exec:
    async def run(command: list[str]) -> int:
        silence = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            child = await container.execute(command, Stdio(silence, silence, silence))
        except SpawnFailed:
            return 127
        finally:
            os.close(silence)
        return await child.wait()

    return run
