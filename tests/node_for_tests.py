"""A node's supervisor inside a test: the real door, sessions and ledger, with a snapshot and an authority of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
from cryptography.x509 import Certificate

from mesh import pki
from mesh.net.certs import SigningFailed
from mesh.net.crlfile import CrlFile
from mesh.net.metrics import Metrics
from mesh.record import Event, Record
from mesh.refusal import Refusal
from mesh.snapshot import Drop, Put, Resource
from tests.pki_for_tests import authority
from tests.tunnel_ends import until
from ztunnel.keeper.listeners import Listeners
from ztunnel.supervisor.door import attend, open_door
from ztunnel.supervisor.expiry import Expiry
from ztunnel.supervisor.ledger import Ledger
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.roster import Entry, Roster
from ztunnel.supervisor.session import Session
from ztunnel.supervisor.state import State
from ztunnel.supervisor.tally import Tally
from ztunnel.worker.start import Pod

WORKER = """
import logging, socket, sys
from ztunnel import netns, worker
from ztunnel.worker.start import Pod, Settings, Start
namespace, *descriptors, ready, supervisor, drain, name, account, nameservers = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
netns.enter(int(namespace))
outbound, plaintext, inbound, *names = (socket.socket(fileno=int(fd)) for fd in descriptors)
pod, settings = Pod(name, name, "shop", account), Settings(drain_seconds=float(drain), nameservers=nameservers)
worker.run(Start(pod, outbound, plaintext, inbound, supervisor, int(ready), settings, tuple(names)))
"""


class Worker:
    """A real worker process."""

    def __init__(self, process: subprocess.Popen[bytes], ready: int) -> None:
        self.process = process
        self.ready = ready

    async def serving(self) -> None:
        """Wait until it says so."""
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(self.ready)
        assert os.read(self.ready, 1) == b"R"

    async def ended(self) -> int:
        """Wait for its end; its status."""
        await until(lambda: self.process.poll() is not None)
        return self.process.returncode

    def tell_to_end(self) -> None:
        """As the keeper does."""
        self.process.send_signal(signal.SIGTERM)


class Node:
    """The supervisor's side, and the workers that a test started."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = State()
        self.roster = Roster()
        self.records: list[Record] = []
        self.place = Place("cluster.local", "Kubernetes", "")
        self.metrics = Metrics("test")
        self.ledger = Ledger(self.state, self.place, self.metrics, self.records.extend)
        self.tally = Tally(self.metrics)
        self.expiry = Expiry(self.metrics)
        self.ttl = timedelta(hours=1)
        self.signed: list[Pod] = []
        self.workers: list[Worker] = []
        self.authority_is_away = False
        self.issued: dict[str, Certificate] = {}
        """The latest certificate of each pod."""
        self.crl = path.with_name("ca-crl.pem")
        self.crl.touch()
        self.revoked = CrlFile(self.crl)

    def know(self, *resources: Resource, gone: Iterable[Drop] = ()) -> None:
        """The mesh is told of these."""
        self.state.apply([*gone, *(Put(one) for one in resources)])
        self.state.note_synced()

    def closed(self, *, outbound: bool) -> list[Record]:
        """Records of ended connections, as seen at the calling or at the called side."""
        reporter = "source" if outbound else "destination"
        return [one for one in self.records if one.event is Event.CLOSED and one.reporter.value == reporter]

    async def sign(self, pod: Pod, csr: bytes) -> pki.Chain:
        """The authority at the other end of the supervisor."""
        self.signed.append(pod)
        if self.authority_is_away:
            raise SigningFailed("the authority is away")
        chain = pki.issue(authority(), csr, self.place.identity(pod), self.ttl, datetime.now(UTC))
        if isinstance(chain, Refusal):
            raise SigningFailed(chain.detail)
        self.issued[pod.name] = pki.leaf_of(chain.certificates)
        return chain

    def expires(self, pod: str) -> float | None:
        """When the certificate of a pod's worker expires, as the supervisor shows it."""
        name, labels = "ambit_certificate_expiry_timestamp_seconds", {"namespace": "shop", "pod": pod}
        return self.metrics.registry.get_sample_value(name, labels)

    def forget_everything(self) -> None:
        """As a supervisor that has just started, and has not heard of istiod."""
        self.state = State()
        self.metrics = Metrics("test")
        self.expiry = Expiry(self.metrics)
        self.ledger = Ledger(self.state, self.place, self.metrics, self.records.extend)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """The supervisor is not there while the block runs, and comes back after it."""
        self._serving.cancel()
        await self._stopped.wait()
        yield
        self._back.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The supervisor is there while the block runs."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._run)
            yield
            nursery.cancel_scope.cancel()

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        while True:
            self._serving, self._stopped, self._back = trio.CancelScope(), trio.Event(), trio.Event()
            door = open_door(self.path)
            with self._serving:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(attend, door, self.roster, self._converse)
                    nursery.start_soon(self.ledger.log)
                    nursery.start_soon(self.revoked.run)
                    task_status.started()
            await door.aclose()
            self.path.unlink()
            self._stopped.set()
            await self._back.wait()
            task_status = trio.TASK_STATUS_IGNORED

    def start_worker(
        self, name: str, namespace: int, listeners: Listeners, *, drain: float = 2.0, nameservers: str = ""
    ) -> Worker:
        """A worker for the pod of this name, whose service account has the same name."""
        reading, writing = os.pipe()
        arguments = (namespace, *listeners.descriptors(), writing, self.path, drain, name, name, nameservers)
        process = subprocess.Popen(
            (sys.executable, "-c", WORKER, *map(str, arguments)),
            pass_fds=(namespace, *listeners.descriptors(), writing),
        )
        os.close(writing)
        self.admit(Pod(name, name, "shop", name), process.pid, os.getuid())
        self.workers.append(Worker(process, reading))
        return self.workers[-1]

    def admit(self, pod: Pod, pid: int, uid: int) -> None:
        """As the keeper tells of a worker."""
        self.roster.note(Entry(pod, pid, uid))

    def end(self) -> None:
        """Leave no process behind."""
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
            os.close(worker.ready)

    async def _converse(self, entry: Entry, stream: trio.SocketStream) -> None:
        session = Session(
            entry.pod,
            stream,
            self.state,
            self.place,
            sign=self.sign,
            revoked=self.revoked,
            report=lambda one: self.ledger.take(entry.pod, one),
            named=lambda one: self.tally.take(entry.pod, one),
            hold=lambda until: self.expiry.hold(entry, until),
        )
        with self.roster.speaking(entry):
            await session.run()
