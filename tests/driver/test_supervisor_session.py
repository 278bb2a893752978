"""What the supervisor tells one worker, and what it lets one worker do; over streams in memory."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
import trio
import trio.testing

from mesh import pki
from mesh.address import NetworkAddress
from mesh.net.certs import SigningFailed
from mesh.net.crlfile import CrlFile
from mesh.policy import Action, Policy, Scope
from mesh.record import Event
from mesh.refusal import Reason
from mesh.snapshot import Drop, Put, Snapshot, key_of
from mesh.workload import Membership, Port, Service, TunnelProtocol, Workload
from ztunnel.channel.frames import LARGEST_DOWN, ChannelError, Frames, frame
from ztunnel.channel.message import (
    MOST_DESTINATIONS,
    MOST_NAMES,
    Ask,
    Forget,
    FromSupervisor,
    FromWorker,
    Hold,
    Report,
    Resolve,
    Resolved,
    Sign,
    Signed,
    Unsigned,
    from_supervisor,
    to_supervisor,
)
from ztunnel.channel.naming import Naming, Outcome
from ztunnel.channel.sighting import Sighting
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.session import Session
from ztunnel.supervisor.state import State
from ztunnel.worker.start import Pod

VIP = ip_address("10.96.0.2")
FRONT = Service("db", "shop", "db.shop.svc.cluster.local", (NetworkAddress("", VIP),), (Port(80, 8080),))
SECRET = Policy("of-db", "shop", Scope.WORKLOAD_SELECTOR, Action.DENY)
OURS = Policy("of-web", "shop", Scope.WORKLOAD_SELECTOR, Action.DENY)


def pod(name: str, ip: str, **more: object) -> Workload:
    return Workload(
        f"Kubernetes//Pod/shop/{name}", name, "shop", name, addresses=(ip_address(ip),),
        tunnel=TunnelProtocol.HBONE, **more,
    )  # fmt: skip


WEB = pod("web", "10.0.0.1", policies=(OURS.key,))
DB = pod("db", "10.0.0.2", services=(Membership(FRONT.key),), policies=(SECRET.key,))
OTHER = pod("other", "10.0.0.3")


class Scene:
    """A session for the worker of `web`, and the worker's end of the stream."""

    def __init__(self) -> None:
        self.state = State()
        self.stream, theirs = trio.testing.memory_stream_pair()
        self.reports: list[Report] = []
        self.namings: list[Naming] = []
        self.held: list[int] = []
        self.requests: list[tuple[Pod, bytes]] = []
        self.authority_refuses = False
        self.session = Session(
            Pod("uid", "web", "shop", "web"), theirs, self.state, Place("cluster.local", "Kubernetes", ""),
            sign=self.sign, revoked=CrlFile(None), report=self.reports.append, named=self.namings.append,
            hold=self.held.append,
        )  # fmt: skip
        self.snapshot = Snapshot()
        self.known: set[str] = set()
        self._frames = Frames(LARGEST_DOWN)

    def know(self, *changes: Workload | Service | Policy | Drop) -> None:
        self.state.apply([one if isinstance(one, Drop) else Put(one) for one in changes])

    async def sign(self, pod: Pod, csr: bytes) -> pki.Chain:
        self.requests.append((pod, csr))
        if self.authority_refuses:
            raise SigningFailed("not today")
        return pki.Chain(b"chain", b"roots")

    async def say(self, message: FromWorker) -> None:
        await self.stream.send_all(frame(to_supervisor(message)))

    async def hear(self) -> list[FromSupervisor]:
        """All that was said by now."""
        heard = []
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.1):
            while True:
                heard += [from_supervisor(one) for one in self._frames.receive(await self.stream.receive_some(65536))]
        return heard

    async def told(self) -> set[str]:
        """Apply the updates; the keys of all that the worker holds then."""
        for update in await self.hear():
            base = Snapshot() if update.whole else self.snapshot
            self.snapshot = base.apply(update.changes)
        return {key_of(one) for one in self.snapshot.resources()}


@pytest.fixture
async def scene(nursery) -> Scene:
    made = Scene()
    made.know(WEB, DB, OTHER, FRONT, SECRET, OURS)
    nursery.start_soon(made.session.run)
    return made


async def test_nothing_is_said_before_istiod_has_told_everything(scene):
    await scene.say(Ask((VIP,)))
    assert await scene.hear() == []
    scene.state.note_synced()
    assert await scene.told() == {WEB.uid, OURS.key, FRONT.key, DB.uid}


async def test_a_worker_gets_its_own_things_and_what_it_asked_about(scene):
    scene.state.note_synced()
    await scene.say(Ask())
    assert await scene.told() == {WEB.uid, OURS.key}
    await scene.say(Ask((VIP,)))
    assert await scene.told() == {WEB.uid, OURS.key, FRONT.key, DB.uid}
    await scene.say(Forget((VIP,)))
    await scene.say(Ask((ip_address("10.0.0.3"),)))
    assert await scene.told() == {WEB.uid, OURS.key, OTHER.uid}


async def test_policies_of_another_pod_are_never_told(scene):
    scene.state.note_synced()
    await scene.say(Ask((VIP, *DB.addresses)))
    assert SECRET.key not in await scene.told()


async def test_the_first_update_replaces_all_and_later_ones_bring_changes_only(scene):
    scene.state.note_synced()
    await scene.say(Ask((VIP,)))
    (first,) = await scene.hear()
    assert (first.whole, first.own, first.answered) == (True, WEB.uid, (VIP,))
    unhealthy = replace(DB, healthy=False)
    scene.know(unhealthy, replace(OTHER, healthy=False))
    (second,) = await scene.hear()
    assert (second.whole, second.changes, second.answered) == (False, (Put(unhealthy),), ())
    scene.know(replace(OTHER, healthy=True))
    assert await scene.hear() == []


async def test_a_pod_that_the_mesh_does_not_know_yet_is_told_of_itself_later(scene):
    scene.know(Drop(Workload, WEB.uid))
    scene.state.note_synced()
    await scene.say(Ask())
    assert [one.own for one in await scene.hear()] == [None]
    scene.know(WEB)
    assert [one.own for one in await scene.hear()] == [WEB.uid]


async def test_a_pod_of_that_name_with_another_account_is_not_it(scene):
    scene.know(replace(WEB, service_account="admin"))
    scene.state.note_synced()
    await scene.say(Ask())
    assert [one.own for one in await scene.hear()] == [None]


async def test_a_question_that_is_asked_again_is_answered_again(scene):
    scene.state.note_synced()
    for _ in range(2):
        await scene.say(Ask((VIP,)))
        assert [one.answered for one in await scene.hear()] == [(VIP,)]


async def test_many_changes_come_in_portions_and_the_last_answers(scene):
    scene.know(*(pod(f"db-{n}", f"10.1.{n // 250}.{n % 250}", services=(Membership(FRONT.key),)) for n in range(2500)))
    scene.state.note_synced()
    await scene.say(Ask((VIP,)))
    heard = await scene.hear()
    while not heard[-1].answered:
        heard += await scene.hear()
    assert [one.whole for one in heard] == [True, False, False]
    assert [one.answered for one in heard] == [(), (), (VIP,)]


async def test_requests_are_signed_for_the_pod_whatever_they_say(scene):
    await scene.say(Sign("a request"))
    assert await scene.hear() == [Signed("chain", "roots")]
    assert scene.requests == [(Pod("uid", "web", "shop", "web"), b"a request")]


async def test_a_refusal_of_the_authority_is_passed_on(scene):
    scene.authority_refuses = True
    await scene.say(Sign("a request"))
    (answer,) = await scene.hear()
    assert isinstance(answer, Unsigned)
    assert (answer.refusal.reason, answer.refusal.detail) == (Reason.NO_CERTIFICATE, "not today")


async def test_until_when_a_certificate_is_good_is_passed_on(scene):
    await scene.say(Hold(1_800_000_000))
    await trio.testing.wait_all_tasks_blocked()
    assert scene.held == [1_800_000_000]


async def test_reports_are_passed_on(scene):
    report = Report(Sighting(Event.CLOSED, outbound=True), dropped=3)
    await scene.say(report)
    await trio.testing.wait_all_tasks_blocked()
    assert scene.reports == [report]


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff",
        frame({"signed": {"chain": "", "roots": ""}}),
        frame({"ask": {"destinations": ["nowhere"]}}),
        frame({"ask": {"destinations": [], "as": "db"}}),
        frame({"report": {"sighting": {"event": "CLOSED", "seconds": -1}}}),
        b"".join(
            frame(to_supervisor(Ask(tuple(ip_address(start + n) for n in range(1000)))))
            for start in range(0x0A000000, 0x0A000000 + MOST_DESTINATIONS + 1000, 1000)
        ),
    ],
)
async def test_what_no_worker_says_ends_the_conversation(said, autojump_clock):
    scene = Scene()
    with pytest.RaisesGroup(pytest.RaisesGroup(ChannelError)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.session.run)
            await scene.stream.send_all(said)


async def test_names_are_resolved_once_everything_is_known_and_anew_each_time(scene):
    await scene.say(Resolve("db"))
    assert await scene.hear() == []
    scene.state.note_synced()
    assert await scene.hear() == [Resolved("db", known=True, addresses=(VIP,))]
    scene.know(Drop(Service, FRONT.key))
    await scene.say(Resolve("db"))
    assert await scene.hear() == [Resolved("db")]


async def test_of_too_many_names_the_first_are_given_up(scene):
    for number in range(MOST_NAMES + 2):
        await scene.say(Resolve(f"n{number}"))
        await trio.testing.wait_all_tasks_blocked()
    scene.state.note_synced()
    assert [one.name for one in await scene.hear()] == [f"n{number}" for number in range(2, MOST_NAMES + 2)]


async def test_what_became_of_a_question_for_a_name_is_listened_to(scene):
    naming = Naming(Outcome.FORWARDED, "AAAA", "tcp", 0.5)
    await scene.say(naming)
    await trio.testing.wait_all_tasks_blocked()
    assert scene.namings == [naming]
