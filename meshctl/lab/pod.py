"""The life of one pod: network, volumes, mesh, containers; and the same backwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

from meshctl.config import program_path
from meshctl.lab.addressing import twin
from meshctl.lab.clock import now
from meshctl.lab.container import Container, Shared
from meshctl.lab.init import CommandFailed
from meshctl.lab.netns import Netns
from meshctl.lab.network import Node
from meshctl.lab.pod_files import PodFiles
from meshctl.lab.pod_status import ContainerState, pod_status
from meshctl.lab.podspec import ContainerPlan, Unmet, plan_container
from meshctl.lab.probe import EAGER_SECONDS, probe_of
from meshctl.lab.readiness import watch_readiness
from meshctl.lab.surroundings import Cni, Surroundings
from meshctl.lab.view import Mount
from meshctl.manifest import Body, Key

_GRACE_SECONDS = 30


class Pod:
    """One pod on its node, from the first wire to the last process."""

    def __init__(
        self, around: Surroundings, body: Body, node: Node, address: IPv4Address | None, cni: Cni | None
    ) -> None:
        self._around = around
        self._cni = cni
        self._since = now()
        self._noticed = asyncio.Event()
        self.node = node
        self.address = address
        self.name: str = body["metadata"]["name"]
        self.namespace: str = body["metadata"]["namespace"]
        self.uid: str = body["metadata"]["uid"]
        self.netns: Netns | None = None
        folder = around.place.volumes(node.name, self.uid)
        self._files = PodFiles(folder, lambda: self.body, around.store, around.issuer)
        self._states = [
            ContainerState(container["name"], container.get("image", "")) for container in body["spec"]["containers"]
        ]
        self.containers: dict[str, Container] = {}

    @property
    def body(self) -> Body:
        """The object as it is now. It stays until the pod's life has ended."""
        return self._around.store.objects[Key("Pod", self.namespace, self.name)]

    def notice(self) -> None:
        """Look at the object again."""
        self._noticed.set()

    async def live(self) -> None:
        """Bring the pod up, keep it until its object is being deleted, then end it."""
        try:
            self.netns = await self._connect()
        except CommandFailed as error:
            await self.give_up(str(error))
            return
        self._report()
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self._run(self.netns))
                await self._until_deleted()
                running.cancel()
            grace = float(self.body["spec"].get("terminationGracePeriodSeconds", _GRACE_SECONDS))
            await asyncio.gather(*(container.end(grace) for container in self.containers.values()))
        finally:
            await self._disconnect(self.netns)
            self._files.remove()

    async def give_up(self, why: str) -> None:
        """Say why it cannot live, and wait until somebody deletes it."""
        for state in self._states:
            state.running_since, state.ready = None, False
        self._wait("RunContainerError", why)
        await self._until_deleted()

    async def _connect(self) -> Netns:
        if self.body["spec"].get("hostNetwork"):
            self.address = self.node.address
            return self.node.netns
        if self.address is None:
            raise CommandFailed(f"{self.node.name} has no free pod address")
        return await self._around.network.add_pod(self.node, self.address)

    async def _disconnect(self, netns: Netns) -> None:
        if netns is self.node.netns:
            return
        if self._cni is not None:
            await self._cni.detach(self.body)
        if self.address is not None:
            with contextlib.suppress(CommandFailed):
                await self._around.network.remove_pod(self.node, self.address)
        netns.close()

    async def _run(self, netns: Netns) -> None:
        await self._fill_volumes()
        if self._cni is not None:
            await self._cni.attach(self.body, netns)
        etc = self._files.etc(self.address)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._files.keep_fresh())
            for spec, state in zip(self.body["spec"]["containers"], self._states, strict=True):
                probe = probe_of(spec)
                log = self._around.place.container_log(self.namespace, self.name, state.name)
                shared = Shared(self.name, netns, self._around.place.staging, etc, log)
                container = Container(self._around.init, state, shared, self._report, probed=probe is not None)
                self.containers[state.name] = container
                policy = self.body["spec"].get("restartPolicy", "Always")
                tasks.create_task(container.run(self._preparer(spec), policy))
                if probe is not None and self.address is not None:
                    asking = watch_readiness(container, probe, self.node.netns, self.address, self._report)
                    tasks.create_task(asking)

    def _preparer(self, spec: Body) -> Callable[[], tuple[ContainerPlan, Sequence[Mount]]]:
        def prepare() -> tuple[ContainerPlan, Sequence[Mount]]:
            plan = plan_container(self.body, spec, self._files.config_map, program_path())
            return plan, self._files.mounts(plan)

        return prepare

    async def _fill_volumes(self) -> None:
        while True:
            try:
                self._files.fill()
            except Unmet as reason:
                self._wait("ContainerCreating", str(reason))
                await asyncio.sleep(EAGER_SECONDS)
            else:
                return

    def _wait(self, why: str, message: str) -> None:
        for state in self._states:
            state.waiting, state.message = why, message
        self._report()

    def _report(self) -> None:
        """Write the status as it is now."""
        status = pod_status(self._states, self._addresses(), self.node.address, self._since)
        self._around.store.put({**self.body, "status": status})

    def _addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        if self.address is None:
            return ()
        return (self.address, twin(self.address)) if self._around.network.dual else (self.address,)

    async def _until_deleted(self) -> None:
        while "deletionTimestamp" not in self.body["metadata"]:
            self._noticed.clear()
            await self._noticed.wait()
