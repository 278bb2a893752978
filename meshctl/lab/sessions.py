"""Commands that a user runs inside: `meshctl lab exec`, in a pod's container or in a node."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping

from meshctl.config import program_path
from meshctl.failure import ExitCode, Failure
from meshctl.lab import kernel
from meshctl.lab.container import Container
from meshctl.lab.init import Child, Init, SpawnFailed, Stdio
from meshctl.lab.kubelet import Kubelet
from meshctl.lab.network import Node
from meshctl.lab.wire import Called, Message


class Sessions:
    """Starts commands on descriptors that the client sent, and stays with them to their end."""

    def __init__(self, init: Init, kubelet: Kubelet, nodes: Mapping[str, Node]) -> None:
        self._init = init
        self._kubelet = kubelet
        self._nodes = nodes

    async def run(self, caller: Called, request: Message) -> None:
        """Run the command of an exec request; answers with its exit code. Raises Failure if it cannot start."""
        if len(caller.descriptors) != 3:
            raise Failure("An exec request needs three descriptors.", code=ExitCode.USAGE)
        stdio = Stdio(*caller.descriptors)
        try:
            child = await self._start(request, stdio)
        except SpawnFailed as reason:
            raise Failure(f"The command could not be started: {reason}") from None
        finally:
            caller.drop_descriptors()
        listening = asyncio.ensure_future(_obey(caller, child))
        try:
            await caller.send({"exit": await child.wait()})
        finally:
            listening.cancel()
            await asyncio.wait([listening])  # its reader has to be gone before the socket's number is used again

    async def _start(self, request: Message, stdio: Stdio) -> Child:
        command: list[str] = request["command"]
        terminal: str = request.get("terminal") or ""
        if node := request.get("node"):
            return await self._on_node(node, command, stdio, terminal)
        container = self._container(request["namespace"], request["pod"], request.get("container"))
        return await container.execute(
            command,
            stdio,
            privileged=bool(request.get("privileged")),
            terminal=bool(terminal),
            env=_terminal_env(terminal),
        )

    async def _on_node(self, name: str, command: list[str], stdio: Stdio, terminal: str) -> Child:
        if name not in self._nodes:
            raise Failure(f"There is no node {name}.", f"There are: {', '.join(self._nodes)}.", ExitCode.ABSENT)
        netns = self._nodes[name].netns

        def prepare() -> None:
            kernel.setns(netns.fd, kernel.CLONE_NEWNET)

        env = {"PATH": program_path(), "HOME": "/", "LANG": "C.UTF-8", **_terminal_env(terminal)}
        return await self._init.spawn(command, env=env, stdio=stdio, prepare=prepare, terminal=bool(terminal))

    def _container(self, namespace: str, name: str, wanted: str | None) -> Container:
        pod = self._kubelet.pod(namespace, name)
        if pod is None:
            raise Failure(
                f"There is no pod {name} in namespace {namespace}.",
                f"See which there are: meshctl lab get pods -n {namespace}",
                ExitCode.ABSENT,
            )
        if not pod.containers:
            raise Failure(f"Pod {name} has not started yet.", f"See why: meshctl lab get pod {name} -n {namespace}")
        container = pod.containers.get(wanted) if wanted else next(iter(pod.containers.values()))
        if container is None:
            there = ", ".join(pod.containers)
            raise Failure(f"Pod {name} has no container {wanted}.", f"It has: {there}.", ExitCode.ABSENT)
        return container


async def _obey(caller: Called, child: Child) -> None:
    """Pass on the signals that the client gets; a client that goes takes its command along, as a terminal does."""
    while (message := await caller.receive()) is not None:
        child.signal(signal.Signals(message["signal"]))
    child.signal(signal.SIGHUP)


def _terminal_env(kind: str) -> dict[str, str]:
    return {"TERM": kind} if kind else {}
