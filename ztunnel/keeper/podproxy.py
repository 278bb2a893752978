"""The life of one captured pod: its listeners, a worker that is always there, its capture rules, and its leaving.

Arriving: listeners, a worker, the worker is ready, the rules. Leaving: no new capture, the worker drains, nothing is
left. A worker that ends is replaced on the same listeners at once, and the rules stand meanwhile: what arrives waits.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, replace
from typing import Final

import trio

from ztunnel import confine, netns
from ztunnel.fork import Order
from ztunnel.keeper import adoption, rules
from ztunnel.keeper.backoff import Backoff
from ztunnel.keeper.forks import ForkRefused, Forks
from ztunnel.keeper.listeners import Listeners
from ztunnel.keeper.record import Record, Records, Stage
from ztunnel.keeper.roster import Roster
from ztunnel.keeper.worker import Worker

_RETRY: Final = 5.0
"""Seconds until listeners that could not be had, or rules that could not be set, are tried again."""

_LINGER: Final = 2.0
"""Seconds that a worker goes on accepting after its pod left: peers that have not heard of it still come to 15008."""

_GRACE: Final = 2.0
"""Seconds beyond its own limit that a draining worker is given before it is killed."""

_log = logging.getLogger("ztunnel.keeper")


class PodProxy:
    """One pod in the node's keeping. It owns the descriptor of the pod's network namespace."""

    def __init__(self, order: Order, namespace: int, forks: Forks, roster: Roster, records: Records) -> None:
        self.order = order
        self.captured = trio.Event()
        """Set once the worker serves and the rules stand."""
        self.released = trio.Event()
        """Set once no new connection is captured any more."""
        self.gone = trio.Event()
        """Set once its worker has ended and, unless a successor came, nothing of it is left in the pod."""
        self.trouble = "its worker is not ready yet"
        """Why it is not captured, or not released."""
        self._namespace = namespace
        self._forks = forks
        self._roster = roster
        self._records = records
        self._record: Record | None = None
        self._listeners: Listeners | None = None
        self._ipv6 = False
        self._worker: Worker | None = None
        self._serving = trio.CancelScope()
        self._linger = _LINGER
        self._lingering = trio.CancelScope()
        self._removing = False
        self._succeeded = False

    @property
    def leaving(self) -> bool:
        """Whether it was told to leave."""
        return self._serving.cancel_called

    def is_in(self, namespace: int) -> bool:
        """Whether the descriptor is of this pod's network namespace."""
        return netns.identity(namespace) == netns.identity(self._namespace)

    def own_namespace(self) -> int:
        """Another descriptor of the pod's network namespace."""
        return os.dup(self._namespace)

    def leave(self, *, linger: bool) -> None:
        """Let the pod go; returns at once, `released` and the end of `run` follow."""
        if not linger:
            self._linger = 0
            self._lingering.cancel()
        self._serving.cancel()

    async def hand_over(self) -> Listeners | None:
        """Leave the pod to a successor, who answers for the rules from now on; the listeners, if still open."""
        await self.released.wait()
        if self._removing:
            await self.gone.wait()
            return None
        self._succeeded = True
        return self._listeners.duplicate() if self._listeners else None

    def inherit(self, listeners: Listeners | None) -> None:
        """Begin with these listeners, if there are any, instead of new ones."""
        self._listeners = listeners

    def adopt(self, record: Record, found: adoption.Found) -> None:
        """Begin with a worker that a killed keeper left."""
        self._record, self._worker = record, found.worker
        self._listeners, self._ipv6 = found.listeners, found.ipv6
        self._roster.add(self.order.pod, found.worker.pid, confine.actual_uid(self.order.uid))

    def be_succeeded(self) -> None:
        """Leave the pod to a successor at once: the rules stand, and only our worker drains."""
        self._succeeded = True
        self.leave(linger=False)

    async def run(self) -> None:
        """Serve the pod until it is told to leave and has left."""
        try:
            with self._serving:
                await trio.lowlevel.checkpoint_if_cancelled()
                self._listeners = self._listeners or await self._listen()
                self._ipv6 = self._listeners.ipv6
                await self._serve(self._listeners)
            with trio.CancelScope(shield=True):
                await self._go()
        finally:
            self._stop_listening()
            os.close(self._namespace)
            self.gone.set()

    async def _listen(self) -> Listeners:
        while True:
            try:
                return Listeners.open(self._namespace)
            except OSError as fault:
                self._complain(str(fault))
            await trio.sleep(_RETRY)

    async def _serve(self, listeners: Listeners) -> None:
        backoff = Backoff(first=0.05, most=0.4)
        if self._worker:
            await self._attend(self._worker)
        while True:
            born = trio.current_time()
            try:
                self._worker = await self._forks.fork(self.order, self._namespace, listeners.descriptors())
            except ForkRefused as error:
                self._complain(str(error))
            else:
                self._write_down(self._worker, listeners)
                self._roster.add(self.order.pod, self._worker.pid, confine.actual_uid(self.order.uid))
                self._worker.begin()
                await self._attend(self._worker)
            await trio.sleep(backoff.after(trio.current_time() - born))

    async def _attend(self, worker: Worker) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._capture_when_ready, worker)
            how = await worker.wait()
            nursery.cancel_scope.cancel()
        self._bury(worker)
        self._complain(f"worker {worker.pid} {how}")

    async def _capture_when_ready(self, worker: Worker) -> None:
        if not await worker.wait_ready():
            return
        _log.info("%s: worker %d is ready", self.order.pod, worker.pid)
        self._note(Stage.SERVING)
        self.trouble = "its capture rules are not in place yet"
        while not self.captured.is_set():
            try:
                await rules.redirect(self._namespace, ipv6=self._ipv6)
            except rules.RulesFailed as error:
                self._complain(str(error))
                await trio.sleep(_RETRY)
            else:
                self.captured.set()

    async def _go(self) -> None:
        self._note(Stage.LEAVING)
        if not self._succeeded:
            try:
                await rules.relax(self._namespace)
            except rules.RulesFailed as error:
                self._complain(str(error))
        self.released.set()
        if self._worker:
            await self._drain(self._worker)
        if self._succeeded:
            return
        self._removing = True
        try:
            await rules.remove(self._namespace, ipv6=self._ipv6)
        except rules.RulesFailed as error:
            self._complain(str(error))

    async def _drain(self, worker: Worker) -> None:
        with self._lingering:
            await trio.sleep(self._linger)
        self._stop_listening()
        how = await worker.end(self.order.settings.drain_seconds + _GRACE)
        _log.info("%s: released; worker %d %s", self.order.pod, worker.pid, how)
        self._bury(worker)

    def _stop_listening(self) -> None:
        if self._listeners:
            self._listeners.close()
            self._listeners = None

    def _write_down(self, worker: Worker, listeners: Listeners) -> None:
        self._record = Record(
            pid=worker.pid,
            started=adoption.started(worker.pid),
            pod=self.order.pod,
            uid=self.order.uid,
            settings=asdict(self.order.settings),
            namespace=netns.identity(self._namespace),
            listeners=listeners.inodes(),
            stage=Stage.BORN,
        )
        self._records.write(self._record)

    def _note(self, stage: Stage) -> None:
        if self._record and self._record.stage is not stage:
            self._record = replace(self._record, stage=stage)
            self._records.write(self._record)

    def _bury(self, worker: Worker) -> None:
        self._record = None
        self._records.remove(worker.pid)
        self._roster.remove(worker.pid)
        worker.close()
        self._worker = None

    def _complain(self, trouble: str) -> None:
        self.trouble = trouble
        _log.warning("%s: %s", self.order.pod, trouble)
