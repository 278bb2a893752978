"""All captured pods of a node, and the parts that serve them."""

from __future__ import annotations

import itertools
import logging
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import trio

from mesh import zds
from mesh.address import IP
from ztunnel import command, confine
from ztunnel.config import Config
from ztunnel.fork import Order
from ztunnel.keeper import adoption, agent, desk, inheritance, readiness, remains, upgrade
from ztunnel.keeper.forks import Forks
from ztunnel.keeper.inheritance import Inheritance
from ztunnel.keeper.listeners import Listeners
from ztunnel.keeper.part import Programs
from ztunnel.keeper.podproxy import PodProxy
from ztunnel.keeper.record import Record, Records
from ztunnel.keeper.roster import Roster
from ztunnel.keeper.succession import Birth, Fate, Left, fates
from ztunnel.release import Release
from ztunnel.resolvconf import nameservers
from ztunnel.worker.start import Pod, Settings

_PATIENCE: Final = zds.ACK_DEADLINE - 1.0
"""Seconds that a request may take; one not done by then goes on, but is answered with what is in its way."""

_ANSWERED: Final = 0.1
"""Seconds between the answer to a request to upgrade and the upgrade, in which the answer is sent."""

_log = logging.getLogger("ztunnel.keeper")


class Node:
    """Does what the CNI agent asks, and is the only owner of what it has asked for."""

    def __init__(self, config: Config, own: Release, programs: Programs, left: Inheritance) -> None:
        self._config = config
        self._own = own
        self._inheritance = left
        self._settings = Settings(
            trust_domain=config.trust_domain,
            cluster_id=config.control_plane.cluster_id,
            network=config.network,
            secret_ttl=config.secret_ttl,
            connections=config.connections,
            drain_seconds=config.drain_seconds,
            relieved_seconds=config.relieved_seconds,
            nameservers=" ".join(map(str, _nameservers(config.resolv_conf))),
            traced=config.tracing is not None,
            trace_share=config.tracing.sampling.ratio if config.tracing is not None else 0.0,
        )
        self._forks = Forks(programs.zygote)
        self._roster = Roster(programs.supervisor)
        self._records = Records(config.run_dir / "workers")
        self._pods: dict[str, PodProxy] = {}
        self._living: set[PodProxy] = set()
        """Those in `_pods`, and those that were released or replaced and still drain."""
        self._remains: list[Record] = []
        """Of workers that ended while no keeper was there."""
        self._connected = self._named = self._stopping = False
        self._successor: Release | None = None
        self._whole = trio.CancelScope()

    async def run(self) -> Release | None:
        """Serve until SIGTERM or SIGINT; then let every pod go, and end when all workers have drained.

        Pods of a node whose ztunnel was told to go speak plaintext from then on. One that dies otherwise leaves
        workers, listeners and rules where they are, and the next one goes on with them. So does the release that is
        returned, if this one was told to upgrade.

        Raises RunDirError if another keeper is at work here.
        """
        held = self._records.open()
        try:
            with self._whole:
                await self._keep()
        finally:
            os.close(held)
        return self._successor

    async def _keep(self) -> None:
        door = desk.open_desk(self._config.keeper_socket)
        async with trio.open_nursery() as parts:
            parts.start_soon(self._forks.run)
            parts.start_soon(self._roster.run)
            async with trio.open_nursery() as pods:
                self._nursery = pods
                self._adopt_workers()
                self._tell_pending()
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    await self._work(signals, door)
                    await self._let_go(signals)
            parts.cancel_scope.cancel()

    async def _work(self, signals: AsyncIterator[int], door: trio.SocketListener) -> None:
        """Serve until told to end."""
        async with trio.open_nursery() as work:
            work.start_soon(agent.follow, self._config.inpod_uds, self._obey, self._note_agent)
            work.start_soon(desk.attend, door, self._answer)
            work.start_soon(upgrade.watch, self._own, self._upgrade)
            number = await anext(signals)
            _log.info("%s: letting %d pods go", signal.Signals(number).name, len(self._living))
            self._stopping = True
            work.cancel_scope.cancel()

    async def _let_go(self, signals: AsyncIterator[int]) -> None:
        """Let every pod go; told to end again, do not wait for their connections."""
        self._tell_pending()
        for proxy in self._living:
            proxy.leave(linger=False)
            proxy.hurry()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._force_when_told, signals)
            for proxy in tuple(self._living):
                await proxy.gone.wait()
            nursery.cancel_scope.cancel()

    async def _force_when_told(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            _log.info("%s again: ending %d workers", signal.Signals(number).name, len(self._living))
            for proxy in self._living:
                proxy.force()

    def _upgrade(self, successor: Release) -> None:
        """Stop keeping, and leave everything as it is to another release."""
        if self._stopping or self._successor is not None:
            return
        _log.info("version %s goes on as version %s of %s", self._own.version, successor.version, successor.python)
        self._successor = successor
        inheritance.bequeath([proxy.listeners for proxy in self._living if proxy.listeners])
        for proxy in self._living:
            proxy.abandon()
        self._whole.cancel()

    async def _answer(
        self, request: command.Upgrade | command.Status
    ) -> command.Upgrading | command.Refused | command.Standing:
        if isinstance(request, command.Status):
            return self._standing()
        try:
            successor = await upgrade.find(request.python)
        except upgrade.Unusable as fault:
            return command.Refused(str(fault))
        if successor.version == self._own.version:
            return command.Refused(f"version {successor.version} runs already")
        self._nursery.start_soon(self._upgrade_soon, successor)
        return command.Upgrading(self._own.version, successor.version)

    async def _upgrade_soon(self, successor: Release) -> None:
        await trio.sleep(_ANSWERED)
        self._upgrade(successor)

    def _standing(self) -> command.Standing:
        records = sorted(
            (proxy.record for proxy in self._living if proxy.record), key=lambda one: (str(one.pod), one.generation)
        )
        workers = tuple(
            command.WorkerSeen(str(one.pod), one.pid, one.version, one.generation, str(one.stage)) for one in records
        )
        return command.Standing(self._own.version, self._pending(), workers)

    def _pending(self) -> tuple[str, ...]:
        uncaptured = [(str(one.order.pod), one.trouble) for one in self._pods.values() if not one.captured.is_set()]
        return readiness.pending(
            connected=self._connected, named=self._named, stopping=self._stopping, uncaptured=uncaptured
        )

    def _tell_pending(self) -> None:
        self._roster.await_parts(self._pending())

    def _note_agent(self, connected: bool) -> None:
        self._connected, self._named = connected, False
        self._tell_pending()

    async def _obey(self, request: zds.Request, resync: zds.Resync, namespace: int | None) -> zds.Ack:
        try:
            return await self._do(request, resync, namespace)
        finally:
            self._tell_pending()

    async def _do(self, request: zds.Request, resync: zds.Resync, namespace: int | None) -> zds.Ack:
        match request:
            case zds.Add() if namespace is not None:
                return await self._add(request, namespace)
            case zds.Keep(uid) if uid not in self._pods:
                return zds.Ack(f"pod {uid} is not held here: add it with its network namespace")
            case zds.Delete(uid):
                return await self._release(uid)
            case zds.SnapshotSent():
                self._named = True
                for uid in resync.unnamed(frozenset(self._pods)):
                    self._pods.pop(uid).leave(linger=True)
                self._nursery.start_soon(self._clear_remains)
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
        formers = [proxy for proxy in self._living if proxy.is_in(namespace)]
        for former in formers:
            inherited = await former.hand_over() or inherited
        pod = Pod(request.uid, request.name, request.namespace, request.service_account, request.names)
        proxy = self._make(pod, self._free_uid(), namespace)
        proxy.inherit(inherited, [former for former in formers if not former.gone.is_set()])
        self._nursery.start_soon(self._live, proxy)
        return proxy

    def _make(self, pod: Pod, uid: int, namespace: int) -> PodProxy:
        order = Order(pod=pod, uid=uid, supervisor=str(self._config.supervisor_socket), settings=self._settings)
        proxy = PodProxy(
            order,
            namespace,
            self._forks,
            self._roster,
            self._records,
            version=self._own.version,
            changed=self._tell_pending,
        )
        self._living.add(proxy)
        return proxy

    async def _live(self, proxy: PodProxy) -> None:
        try:
            await proxy.run()
        finally:
            self._living.discard(proxy)

    def _adopt_workers(self) -> None:
        """Go on with what a keeper before us left; the agent will say which of these pods there still are."""
        found: dict[int, tuple[Record, adoption.Found]] = {}
        for record in self._records.read():
            one = adoption.find(record, self._inheritance)
            if one:
                found[record.pid] = record, one
            else:
                self._remains.append(record)
        self._inheritance.close()
        left = [Left(record, one.worker is not None, one.listeners is not None) for record, one in found.values()]
        wanted = Birth(self._own.version, asdict(self._settings))
        heirs: dict[tuple[int, int], PodProxy] = {}
        retiring: list[PodProxy] = []
        for pid, fate in fates(left, wanted).items():
            record, one = found[pid]
            proxy = self._make(record.pod, record.uid, one.namespace)
            proxy.adopt(record, one)
            match fate:
                case Fate.SERVES:
                    heirs[record.namespace] = self._pods[record.pod.uid] = proxy
                case Fate.REPLACED:
                    heirs[record.namespace] = self._pods[record.pod.uid] = self._replace(proxy, record)
                    retiring.append(proxy)
                case Fate.RETIRES:
                    retiring.append(proxy)
                case Fate.DRAINS:
                    retiring.append(proxy)
                    proxy.be_succeeded()
                case Fate.LEAVES:
                    proxy.leave(linger=False)
        for network, heir in heirs.items():
            heir.relieve([proxy for proxy in retiring if proxy.network == network])
        for proxy in tuple(self._living):
            self._nursery.start_soon(self._live, proxy)
        if found:
            _log.info("adopted %d workers of %d pods", len(found), len(heirs))

    def _replace(self, former: PodProxy, record: Record) -> PodProxy:
        heir = self._make(record.pod, self._free_uid(), former.own_namespace())
        heir.inherit(former.listeners.duplicate() if former.listeners else None, [former])
        return heir

    async def _clear_remains(self) -> None:
        """Take away what is left in pods whose worker ended unseen, unless they are captured again."""
        remains_of, self._remains = self._remains, []
        captured = {proxy.network for proxy in self._living}
        for record in remains_of:
            if record.namespace in captured or await remains.clear(record):
                self._records.remove(record.pid)

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


def _nameservers(path: Path) -> tuple[IP, ...]:
    try:
        found = nameservers(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as fault:
        _log.warning("pods find only the names of the mesh: %s", fault)
        return ()
    if not found:
        _log.warning("pods find only the names of the mesh: %s names no server that a pod could reach", path)
    return found
