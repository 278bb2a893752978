"""All captured pods of a node, and the parts that serve them."""

from __future__ import annotations

import itertools
import logging
import os
import signal
from dataclasses import asdict
from typing import Final

import trio

from mesh import zds
from ztunnel import confine
from ztunnel.config import Config
from ztunnel.fork import Order
from ztunnel.keeper import adoption, agent
from ztunnel.keeper.forks import Forks
from ztunnel.keeper.listeners import Listeners
from ztunnel.keeper.part import Programs
from ztunnel.keeper.podproxy import PodProxy
from ztunnel.keeper.record import Record, Records, Stage
from ztunnel.keeper.roster import Roster
from ztunnel.worker.start import Pod, Settings

_PATIENCE: Final = zds.ACK_DEADLINE - 1.0
"""Seconds that a request may take; one not done by then goes on, but is answered with what is in its way."""

_log = logging.getLogger("ztunnel.keeper")


class Node:
    """Does what the CNI agent asks, and is the only owner of what it has asked for."""

    def __init__(self, config: Config, programs: Programs) -> None:
        self._config = config
        self._settings = Settings(
            trust_domain=config.trust_domain,
            cluster_id=config.control_plane.cluster_id,
            network=config.network,
            secret_ttl=config.secret_ttl,
            connections=config.connections,
        )
        self._forks = Forks(programs.zygote)
        self._roster = Roster(programs.supervisor)
        self._records = Records(config.run_dir / "workers")
        self._pods: dict[str, PodProxy] = {}
        self._living: set[PodProxy] = set()
        """Those in `_pods`, and those that were released and still drain."""

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then let every pod go, and end when all workers have drained.

        Pods of a node whose ztunnel was told to go speak plaintext from then on. One that dies otherwise leaves
        workers, listeners and rules where they are, and the next one goes on with them.

        Raises RunDirError if another keeper is at work here.
        """
        held = self._records.open()
        try:
            await self._keep()
        finally:
            os.close(held)

    async def _keep(self) -> None:
        async with trio.open_nursery() as parts:
            parts.start_soon(self._forks.run)
            parts.start_soon(self._roster.run)
            async with trio.open_nursery() as pods, trio.open_nursery() as work:
                self._nursery = pods
                self._adopt_workers()
                work.start_soon(agent.follow, self._config.inpod_uds, self._obey)
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    async for number in signals:
                        _log.info("%s: letting %d pods go", signal.Signals(number).name, len(self._living))
                        break
                work.cancel_scope.cancel()
                for proxy in self._living:
                    proxy.leave(linger=False)
            parts.cancel_scope.cancel()

    async def _obey(self, request: zds.Request, resync: zds.Resync, namespace: int | None) -> zds.Ack:
        match request:
            case zds.Add() if namespace is not None:
                return await self._add(request, namespace)
            case zds.Keep(uid) if uid not in self._pods:
                return zds.Ack(f"pod {uid} is not held here: add it with its network namespace")
            case zds.Delete(uid):
                return await self._release(uid)
            case zds.SnapshotSent():
                for uid in resync.unnamed(frozenset(self._pods)):
                    self._pods.pop(uid).leave(linger=True)
        return zds.Ack()

    async def _add(self, request: zds.Add, namespace: int) -> zds.Ack:
        proxy = self._pods.get(request.uid)
        if proxy is None or not proxy.is_in(namespace):
            await self._release(request.uid)
            proxy = self._pods[request.uid] = await self._start(request, namespace)
        else:
            os.close(namespace)
        with trio.move_on_after(_PATIENCE):
            await proxy.captured.wait()
        return zds.Ack() if proxy.captured.is_set() else zds.Ack(f"pod {proxy.order.pod}: {proxy.trouble}")

    async def _start(self, request: zds.Add, namespace: int) -> PodProxy:
        inherited: Listeners | None = None
        for former in [proxy for proxy in self._living if proxy.is_in(namespace)]:
            inherited = await former.hand_over() or inherited
        pod = Pod(request.uid, request.name, request.namespace, request.service_account)
        proxy = self._make(pod, self._free_uid(), namespace)
        proxy.inherit(inherited)
        self._nursery.start_soon(self._live, proxy)
        return proxy

    def _make(self, pod: Pod, uid: int, namespace: int) -> PodProxy:
        order = Order(pod=pod, uid=uid, supervisor=str(self._config.supervisor_socket), settings=self._settings)
        proxy = PodProxy(order, namespace, self._forks, self._roster, self._records)
        self._living.add(proxy)
        return proxy

    async def _live(self, proxy: PodProxy) -> None:
        try:
            await proxy.run()
        finally:
            self._living.discard(proxy)

    def _adopt_workers(self) -> None:
        """Go on with what a killed keeper left; the agent will say which of these pods there still are."""
        left: list[tuple[Record, adoption.Found]] = []
        for record in self._records.read():
            found = adoption.find(record)
            if found:
                left.append((record, found))
            else:
                self._records.remove(record.pid)
        staying = {record.namespace for record, found in left if found.listeners and record.stage is not Stage.LEAVING}
        adopted = [(self._make(record.pod, record.uid, found.namespace), record, found) for record, found in left]
        for proxy, record, found in adopted:
            proxy.adopt(record, found)
            self._place(proxy, record, found.listeners, staying=record.namespace in staying)
            self._nursery.start_soon(self._live, proxy)
        if adopted:
            _log.info("adopted %d workers of %d pods", len(adopted), len(staying))

    def _place(self, proxy: PodProxy, record: Record, listeners: Listeners | None, *, staying: bool) -> None:
        """Decide what becomes of an adopted worker: it serves on, or a successor does, or its pod was leaving."""
        if listeners is None or record.stage is Stage.LEAVING:
            proxy.be_succeeded() if staying else proxy.leave(linger=False)
        elif record.stage is Stage.SERVING and record.settings == asdict(self._settings):
            self._pods[record.pod.uid] = proxy
        else:  # it never was ready, or was born with other settings
            heir = self._pods[record.pod.uid] = self._make(record.pod, self._free_uid(), proxy.own_namespace())
            heir.inherit(listeners.duplicate())
            self._nursery.start_soon(self._live, heir)
            proxy.be_succeeded()

    async def _release(self, uid: str) -> zds.Ack:
        proxy = self._pods.pop(uid, None)
        if proxy is None:
            return zds.Ack()
        proxy.leave(linger=True)
        with trio.move_on_after(_PATIENCE):
            await proxy.released.wait()
        return zds.Ack() if proxy.released.is_set() else zds.Ack(f"pod {proxy.order.pod}: {proxy.trouble}")

    def _free_uid(self) -> int:
        taken = {proxy.order.uid for proxy in self._living}
        return next(uid for uid in itertools.count(confine.FIRST_WORKER_UID) if uid not in taken)
