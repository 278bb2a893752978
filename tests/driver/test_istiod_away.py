"""Istiod is away for an hour: worker and supervisor go on with what they know. Trio's clock, streams in memory."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import trio
import trio.testing

from mesh import pki
from mesh.net.certs import SigningFailed
from mesh.net.crlfile import CrlFile
from mesh.net.metrics import Metrics
from mesh.net.tls import ClientTls, ServerTls
from mesh.policy import Action, Policy, Scope
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Put
from mesh.workload import Workload
from ztunnel.channel.message import FromSupervisor, Hold, Signed, Unsigned, Update
from ztunnel.supervisor.expiry import Expiry
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.roster import Entry
from ztunnel.supervisor.session import Session
from ztunnel.supervisor.state import State
from ztunnel.worker.certificate import Certificate, Petitioner
from ztunnel.worker.link import Link
from ztunnel.worker.lookup import Lookup, View
from ztunnel.worker.start import Pod

BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
ROOT = pki.new_authority("cluster.local", BEGIN)
HOUR, MINUTE = 3600.0, 60.0
WEB, DB = Pod("1", "web", "shop", "web"), ip_address("10.0.0.2")
PLACE = Place("cluster.local", "Kubernetes", "")
DENIED = Policy("deny", "shop", Scope.NAMESPACE, Action.DENY)


def utcnow() -> datetime:
    return BEGIN + timedelta(seconds=trio.current_time())


def pod(name: str, ip: str) -> Workload:
    return Workload(f"Kubernetes//Pod/shop/{name}", name, "shop", name, addresses=(ip_address(ip),))


class Scene:
    """One worker's knowledge and certificate, and its supervisor, whose istiod may be away."""

    def __init__(self, life: timedelta) -> None:
        self.state = State()
        self.metrics = Metrics("test")
        self.expiry = Expiry(self.metrics)
        self.metrics.gauge("ambit_istiod_connected", "").set_function(lambda: float(self.state.connected))
        self.certificate = Certificate(utcnow)
        self._life = life
        self._link = Link(self._connect, self._receive)
        self.lookup = Lookup(self._link.send)
        self._petitioner = Petitioner(self._link.send)
        self._link.greeting, self._link.begun = self.lookup.greeting, self._petitioner.stir
        self.certificate.installed = lambda until: self._link.send(Hold(int(until.timestamp()))) and None
        self.come_back()
        self.state.apply([Put(pod("web", "10.0.0.1")), Put(pod("db", str(DB)))])
        self.state.note_synced()

    def go_away(self) -> None:
        self.state.note_connected(False)

    def come_back(self) -> None:
        self.state.note_connected(True)

    async def run(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        nursery.start_soon(self._link.run)
        nursery.start_soon(self.certificate.keep, self._petitioner, WEB.identity("cluster.local"))
        await self.certificate.present.wait()
        assert isinstance(await self.lookup.around(DB), View)

    def gauge(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)

    def expires(self) -> datetime:
        labels = {"namespace": "shop", "pod": "web"}
        shown = self.metrics.registry.get_sample_value("ambit_certificate_expiry_timestamp_seconds", labels)
        assert shown is not None
        return datetime.fromtimestamp(shown, UTC)

    async def _connect(self) -> trio.abc.HalfCloseableStream:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._converse, theirs)
        return ours

    async def _converse(self, stream: trio.abc.Stream) -> None:
        hold = lambda until: self.expiry.hold(Entry(WEB, 7, 9), until)
        nobody = lambda _: None
        session = Session(
            WEB, stream, self.state, PLACE,
            sign=self._sign, revoked=CrlFile(None), report=nobody, named=nobody, hold=hold,
        )  # fmt: skip
        await session.run()

    async def _sign(self, signed_for: Pod, csr: bytes) -> pki.Chain:
        if not self.state.connected:
            raise SigningFailed("UNAVAILABLE: nobody is there")
        chain = pki.issue(ROOT, csr, signed_for.identity("cluster.local"), self._life, utcnow())
        assert isinstance(chain, pki.Chain)
        return chain

    def _receive(self, message: FromSupervisor) -> None:
        if isinstance(message, Update):
            self.lookup.take(message)
        elif isinstance(message, Signed | Unsigned):
            self._petitioner.take(message)


async def test_an_hour_without_istiod_changes_nothing(autojump_clock, nursery, caplog):
    """It goes when the certificate is about to be renewed, and nobody who uses it notices."""
    caplog.set_level(logging.WARNING)
    scene = Scene(timedelta(hours=24))
    await scene.run(nursery)
    first = scene.expires()
    await trio.sleep(11 * HOUR + 50 * MINUTE)
    scene.go_away()
    assert scene.gauge("ambit_istiod_connected") == 0
    for _ in range(60):
        await trio.sleep(MINUTE)
        assert isinstance(scene.certificate.client(), ClientTls)
        assert isinstance(scene.certificate.server(), ServerTls)
        assert isinstance(await scene.lookup.around(DB), View)
    assert scene.expires() == first
    assert f"the one in force is good until {first.isoformat()}: UNAVAILABLE: nobody is there" in caplog.text

    scene.come_back()
    scene.state.apply([Put(DENIED)])
    await trio.sleep(4 * MINUTE)
    assert scene.gauge("ambit_istiod_connected") == 1
    assert scene.expires() > first
    assert scene.lookup.view().snapshot.policies_for(scene.lookup.view().own) == (DENIED,)


async def test_a_certificate_that_cannot_be_renewed_in_time_does_not_expire_silently(autojump_clock, nursery, caplog):
    caplog.set_level(logging.WARNING)
    scene = Scene(timedelta(minutes=50))
    await scene.run(nursery)
    scene.go_away()
    await trio.sleep(HOUR)
    refusal = scene.certificate.client()
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CERTIFICATE_EXPIRED
    assert scene.expires() < utcnow()
    assert caplog.text.count("no new certificate") > 10
    scene.come_back()
    await trio.sleep(4 * MINUTE)
    assert isinstance(scene.certificate.client(), ClientTls)
    assert scene.expires() > utcnow()
