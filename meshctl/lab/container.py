"""Runs one container of a pod: starts it in the pod's namespaces, restarts it, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshctl.lab import kernel
from meshctl.lab.clock import now
from meshctl.lab.init import Child, Init, SpawnFailed, Stdio
from meshctl.lab.netns import Netns
from meshctl.lab.pod_status import ContainerState
from meshctl.lab.podspec import ContainerPlan, Unmet
from meshctl.lab.privilege import assume
from meshctl.lab.view import Mount, enter_view

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""Who ran this long before ending is started again without the delay that its earlier failures earned."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What a container shares with the others of its pod, and where its output goes."""

    hostname: str
    netns: Netns
    staging: Path
    files: Mapping[str, Path]
    log: Path


class Container:
    """One container through all its restarts.

    `changed` is called whenever `state` says something new. A container without a readiness probe is ready when
    it has started.
    """

    def __init__(
        self, init: Init, state: ContainerState, shared: Shared, changed: Callable[[], None], *, probed: bool
    ) -> None:
        self._init = init
        self._probed = probed
        self._shared = shared
        self._changed = changed
        self._child: Child | None = None
        self._inside: int | None = None
        self.state = state
        self.plan: ContainerPlan | None = None

    @property
    def pid(self) -> int | None:
        """The number of its first process while it runs."""
        return self._child.pid if self._child is not None and self._child.running else None

    async def run(self, prepare: Callable[[], tuple[ContainerPlan, Sequence[Mount]]], policy: str) -> None:
        """Start it, and again when it ends, as the pod's restartPolicy says. `prepare` may raise Unmet."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            began = time.monotonic()
            await self._run_once(prepare)
            failed = self.state.exit_code != 0
            if policy == "Never" or (policy == "OnFailure" and not failed):
                self._tell(waiting="")
                return
            if time.monotonic() - began > STEADY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            self._tell(waiting="CrashLoopBackOff", message=f"ended with {self.state.exit_code}")
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            self.state.restarts += 1

    async def _run_once(self, prepare: Callable[[], tuple[ContainerPlan, Sequence[Mount]]]) -> None:
        while True:
            try:
                self.plan, mounts = prepare()
                self._child = await self._start(self.plan, mounts)
                break
            except (Unmet, SpawnFailed) as reason:
                kind = "CreateContainerConfigError" if isinstance(reason, Unmet) else "RunContainerError"
                self._tell(waiting=kind, message=str(reason))
                await asyncio.sleep(FIRST_BACKOFF_SECONDS / 2)
        self._inside = _mount_namespace(self._child.pid)
        self._tell(running_since=now(), waiting="", message="", ready=not self._probed)
        code = await self._child.wait()
        self._kill_remains()
        self._tell(running_since=None, exit_code=code, ready=False)

    async def _start(self, plan: ContainerPlan, mounts: Sequence[Mount]) -> Child:
        shared = self._shared

        def prepare() -> None:
            kernel.setns(shared.netns.fd, kernel.CLONE_NEWNET)
            kernel.unshare(kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC)
            socket.sethostname(shared.hostname)
            enter_view(shared.staging, plan.folder, mounts, shared.files)
            os.chdir(plan.folder)
            assume(plan.privilege)

        silence = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        log = os.open(shared.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return await self._init.spawn(plan.command, env=plan.env, stdio=Stdio(silence, log, log), prepare=prepare)
        finally:
            os.close(silence)
            os.close(log)

    async def execute(
        self,
        command: Sequence[str],
        stdio: Stdio,
        *,
        privileged: bool = False,
        terminal: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Child:
        """Start another command in the running container. Raises SpawnFailed.

        `privileged` enters the pod's network only, with all rights the lab has: to look at its rules.
        """
        if (pid := self.pid) is None or self.plan is None:
            raise SpawnFailed(f"container {self.state.name} is not running")
        plan, netns = self.plan, self._shared.netns

        def prepare() -> None:
            kernel.setns(netns.fd, kernel.CLONE_NEWNET)
            if privileged:
                return
            for name, kind in (("uts", kernel.CLONE_NEWUTS), ("ipc", kernel.CLONE_NEWIPC), ("mnt", kernel.CLONE_NEWNS)):
                fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
                kernel.setns(fd, kind)
                os.close(fd)
            os.chdir(plan.folder)
            assume(plan.privilege)

        together = {**plan.env, **(env or {})}
        return await self._init.spawn(command, env=together, stdio=stdio, prepare=prepare, terminal=terminal)

    async def end(self, grace: float) -> None:
        """Ask it to end; make it end after `grace` seconds."""
        child = self._child
        if child is None or not child.running:
            return
        child.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await child.wait()
        except TimeoutError:
            child.signal(signal.SIGKILL)
            await child.wait()
        self._kill_remains()

    def _kill_remains(self) -> None:
        """Kill what the container's first process left running: all that is in the container's mount namespace."""
        if self._inside is None:
            return
        for process in Path("/proc").iterdir():
            if process.name.isdecimal() and _mount_namespace(int(process.name)) == self._inside:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process.name), signal.SIGKILL)
        self._inside = None

    def _tell(self, **changes: object) -> None:
        for name, value in changes.items():
            setattr(self.state, name, value)
        self._changed()


def _mount_namespace(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/mnt").stat().st_ino
    except OSError:
        return None
