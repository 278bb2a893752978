"""The life of one captured pod: its listeners, a worker that is always there, its capture rules, and its leaving.

Arriving: listeners, a worker, the worker is ready, the rules. Leaving: no new capture, the worker drains, nothing is
left. A worker that ends is replaced on the same listeners at once, and the rules stand meanwhile: what arrives waits.

A worker of another release or of other settings has a successor with a PodProxy of its own, on the same listeners. It
serves until the successor does; then it is relieved and drains for as long as its connections live, within a deadline.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
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

    def __init__(
        self,
        order: Order,
        namespace: int,
        forks: Forks,
        roster: Roster,
        records: Records,
        *,
        version: str,
        changed: Callable[[], None],
    ) -> None:
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
        self._version = version
        self._changed = changed
        self.record: Record | None = None
        """What is written down of its latest worker."""
        self._generation = 0
        self._formers: Sequence[PodProxy] = ()
        """Those whose work this one takes over."""
        self._has_heir = False
        self._hurry = trio.Event()
        self._going = trio.CancelScope(shield=True)
        self._listeners: Listeners | None = None
        self._ipv6 = False
        self._worker: Worker | None = None
        self._serving = trio.CancelScope()
        self._linger = _LINGER
        self._lingering = trio.CancelScope()
        self._removing = False
        self._succeeded = False

    @property
    def network(self) -> tuple[int, int]:
        """What tells the pod's network namespace from every other."""
        return netns.identity(self._namespace)

    @property
    def listeners(self) -> Listeners | None:
        """The pod's listeners, as long as it has them; they stay this proxy's."""
        return self._listeners

    def is_in(self, namespace: int) -> bool:
        """Whether the descriptor is of this pod's network namespace."""
        return netns.identity(namespace) == self.network

    def own_namespace(self) -> int:
        """Another descriptor of the pod's network namespace."""
        return os.dup(self._namespace)

    def leave(self, *, linger: bool) -> None:
        """Let the pod go; returns at once, `released` and the end of `run` follow."""
        if not linger:
            self._linger = 0
            self._lingering.cancel()
        self._serving.cancel()

    def hurry(self) -> None:
        """If it was relieved, do not wait any longer than for one whose pod leaves; nor for those before it."""
        self._hurry.set()
        for former in self._formers:
            former.hurry()

    def force(self) -> None:
        """End it now, with whatever lives: for one that was told to leave already."""
        self._hurry.set()
        if self._worker:
            self._worker.send(signal.SIGTERM)

    def abandon(self) -> None:
        """Keep no longer, and touch nothing: another keeper goes on with it. For when `run` is cancelled."""
        self._going.cancel()

    async def hand_over(self) -> Listeners | None:
        """Leave the pod to a successor, who answers for the rules from now on; the listeners, if still open."""
        await self.released.wait()
        if self._removing:
            await self.gone.wait()
            return None
        self._succeeded = True
        return self._listeners.duplicate() if self._listeners else None

    def inherit(self, listeners: Listeners | None, formers: Sequence[PodProxy]) -> None:
        """Begin with these listeners, if there are any, instead of new ones; then relieve those before."""
        self._listeners = listeners
        self.relieve(formers)

    def relieve(self, formers: Sequence[PodProxy]) -> None:
        """Once this one serves, these need not any more."""
        self._formers = formers
        for former in formers:
            former._has_heir = True
            self._generation = max(self._generation, former._generation)

    def adopt(self, record: Record, found: adoption.Found) -> None:
        """Begin with a worker that a keeper before us left."""
        self.record, self._worker, self._generation = record, found.worker, record.generation
        self._listeners, self._ipv6 = found.listeners, found.ipv6
        if found.worker is not None:
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
            with self._going:
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
        while not self._has_heir:
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
        self._succeeded = True  # its heir's worker takes what waits

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
                await rules.redirect(self._namespace, ipv6=self._ipv6, names=self.order.pod.names)
            except rules.RulesFailed as error:
                self._complain(str(error))
                await trio.sleep(_RETRY)
            else:
                self.captured.set()
                self._changed()
        for former in self._formers:
            former.be_succeeded()

    async def _go(self) -> None:
        self._note(Stage.LEAVING)
        if not self._succeeded:
            try:
                await rules.relax(self._namespace)
            except rules.RulesFailed as error:
                self._complain(str(error))
        self.released.set()
        for former in self._formers:
            former.be_succeeded()
            if not self._succeeded:
                former.hurry()
        if self._worker:
            await self._drain(self._worker)
        for former in self._formers:
            await former.gone.wait()
        if self._succeeded or await self._clean_up():
            self._forget()

    async def _clean_up(self) -> bool:
        self._removing = True
        try:
            await rules.remove(self._namespace, ipv6=self._ipv6)
        except rules.RulesFailed as error:
            self._complain(str(error))
            return False
        return True

    async def _drain(self, worker: Worker) -> None:
        with self._lingering:
            await trio.sleep(self._linger)
        self._stop_listening()
        settings = self.order.settings
        how = await worker.retire(settings.relieved_seconds + _GRACE, self._hurry) if self._succeeded else ""
        how = how or await worker.end(settings.drain_seconds + _GRACE)
        _log.info("%s: released; worker %d %s", self.order.pod, worker.pid, how)
        self._bury(worker)

    def _stop_listening(self) -> None:
        if self._listeners:
            self._listeners.close()
            self._listeners = None

    def _write_down(self, worker: Worker, listeners: Listeners) -> None:
        before = self.record
        self._generation += 1
        self.record = Record(
            pid=worker.pid,
            started=adoption.started(worker.pid),
            pod=self.order.pod,
            generation=self._generation,
            version=self._version,
            uid=self.order.uid,
            settings=asdict(self.order.settings),
            namespace=netns.identity(self._namespace),
            listeners=listeners.inodes(),
            stage=Stage.BORN,
        )
        self._records.write(self.record)
        if before and before.pid != worker.pid:
            self._records.remove(before.pid)

    def _note(self, stage: Stage) -> None:
        if self.record and self.record.stage is not stage:
            self.record = replace(self.record, stage=stage)
            self._records.write(self.record)

    def _forget(self) -> None:
        """Nothing is left of the pod's worker; until then its record says where to look."""
        if self.record:
            self._records.remove(self.record.pid)
            self.record = None

    def _bury(self, worker: Worker) -> None:
        self._roster.remove(worker.pid)
        worker.close()
        self._worker = None

    def _complain(self, trouble: str) -> None:
        self.trouble = trouble
        self._changed()
        _log.warning("%s: %s", self.order.pod, trouble)
