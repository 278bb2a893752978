"""The worker's conversation with a supervisor that comes, goes, breaks off or talks nonsense; streams in memory."""

from __future__ import annotations

from collections import deque
from ipaddress import ip_address

import pytest
import trio
import trio.testing

from mesh.record import Event
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Put
from mesh.workload import Workload
from tests.tunnel_ends import until
from ztunnel.channel.frames import LARGEST_UP, Frames, frame
from ztunnel.channel.message import Ask, Forget, FromSupervisor, FromWorker, Report, Update, from_worker, to_worker
from ztunnel.channel.sighting import Sighting
from ztunnel.worker.link import Link
from ztunnel.worker.lookup import PATIENCE, Lookup, View

OWN = Workload("Kubernetes//Pod/shop/web", "web", "shop")
HERE, THERE = ip_address("10.0.0.1"), ip_address("10.0.0.2")


class Supervisor:
    """Plays the other side of every connection that the link makes."""

    def __init__(self) -> None:
        self.there = True
        self.streams: list[trio.abc.HalfCloseableStream] = []
        self._frames = Frames(LARGEST_UP)
        self._heard: deque[FromWorker] = deque()

    async def connect(self) -> trio.abc.HalfCloseableStream:
        if not self.there:
            raise ConnectionRefusedError
        ours, theirs = trio.testing.memory_stream_pair()
        self._frames = Frames(LARGEST_UP)
        self.streams.append(ours)
        return theirs

    async def hears(self) -> FromWorker:
        while not self._heard:
            data = await self.streams[-1].receive_some(65536)
            self._heard.extend(from_worker(one) for one in self._frames.receive(data))
        return self._heard.popleft()

    async def says(self, message: FromSupervisor) -> None:
        await self.streams[-1].send_all(frame(to_worker(message)))

    async def breaks_off(self) -> None:
        await self.streams[-1].aclose()


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture
def heard() -> list[FromSupervisor]:
    return []


@pytest.fixture
async def link(supervisor, heard, nursery) -> Link:
    made = Link(supervisor.connect, heard.append)
    made.greeting = lambda: Ask((HERE,))
    nursery.start_soon(made.run)
    return made


async def test_it_begins_with_the_greeting_and_hands_on_what_comes(link, supervisor, heard, autojump_clock):
    await trio.testing.wait_all_tasks_blocked()
    assert await supervisor.hears() == Ask((HERE,))
    await supervisor.says(Update(OWN.uid, (Put(OWN),), (HERE,), whole=True))
    await trio.testing.wait_all_tasks_blocked()
    assert heard == [Update(OWN.uid, (Put(OWN),), (HERE,), whole=True)]


async def test_it_comes_back_after_the_supervisor_broke_off(link, supervisor, autojump_clock):
    await trio.testing.wait_all_tasks_blocked()
    for _ in range(3):
        assert await supervisor.hears() == Ask((HERE,))
        await supervisor.breaks_off()
        await until(lambda: not link.connected)
        assert not link.send(Forget((HERE,)))
        await until(lambda: link.connected)
    assert await supervisor.hears() == Ask((HERE,))


async def test_it_tries_again_while_nobody_listens_but_not_in_haste(link, supervisor, autojump_clock):
    await trio.testing.wait_all_tasks_blocked()
    supervisor.there = False
    await supervisor.breaks_off()
    await trio.sleep(30)
    supervisor.there = True
    before = trio.current_time()
    await until(lambda: link.connected)
    assert trio.current_time() - before <= 2.01


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02[]",
        b'\0\0\0\x0c{"update":1}',
        frame({"update": {"own": 1}}),
        frame({"hello": {}}),
        frame({"update": {"changes": [{"put": "workload", "resource": {"name": "x"}}]}}),
    ],
)
async def test_nonsense_ends_the_connection_and_not_the_worker(link, supervisor, heard, nonsense, autojump_clock):
    await trio.testing.wait_all_tasks_blocked()
    await supervisor.hears()
    await supervisor.streams[-1].send_all(nonsense)
    await trio.sleep(5)
    assert len(supervisor.streams) > 1
    assert link.connected
    assert not heard


async def test_a_fault_of_ours_ends_the_connection_and_not_the_worker(supervisor, nursery, autojump_clock):
    def fail(_: FromSupervisor) -> None:
        raise RuntimeError("a bug")

    link = Link(supervisor.connect, fail)
    nursery.start_soon(link.run)
    await trio.testing.wait_all_tasks_blocked()
    await supervisor.says(Update(None))
    await trio.sleep(5)
    assert link.connected
    assert len(supervisor.streams) == 2


async def test_reports_wait_for_the_next_supervisor_and_the_rest_is_counted(supervisor, nursery, autojump_clock):
    supervisor.there = False
    link = Link(supervisor.connect, lambda _: None)
    nursery.start_soon(link.run)
    for number in range(1030):
        link.report(Sighting(Event.CLOSED, outbound=True, sent=number))
    supervisor.there = True
    await until(lambda: link.connected)
    assert await supervisor.hears() == Ask()
    first = await supervisor.hears()
    assert first == Report(Sighting(Event.CLOSED, outbound=True, sent=0), dropped=6)
    others = [await supervisor.hears() for _ in range(1023)]
    assert [one.sighting.sent for one in others] == list(range(1, 1024))
    assert not any(one.dropped for one in others)
    with trio.fail_after(1):
        await link.flushed()


class Asked(list):
    """What was asked; says that it was sent."""

    def __call__(self, message) -> bool:
        self.append(message)
        return True


async def test_a_look_up_waits_for_its_answer(autojump_clock, nursery):
    asked = Asked()
    lookup = Lookup(asked)
    found: list[View | Refusal] = []

    async def ask() -> None:
        found.append(await lookup.around(THERE))

    nursery.start_soon(ask)
    nursery.start_soon(ask)
    await trio.testing.wait_all_tasks_blocked()
    assert asked == [Ask((THERE,))]
    lookup.take(Update(OWN.uid, (Put(OWN),)))
    await trio.testing.wait_all_tasks_blocked()
    assert not found
    lookup.take(Update(OWN.uid, (), (THERE,)))
    await trio.testing.wait_all_tasks_blocked()
    assert [one.own for one in found] == [OWN, OWN]
    await ask()
    assert len(asked) == 1


async def test_an_answer_that_does_not_come_is_waited_for_five_seconds(autojump_clock):
    lookup = Lookup(Asked())
    before = trio.current_time()
    found = await lookup.around(THERE)
    assert isinstance(found, Refusal)
    assert found.reason is Reason.UNKNOWN_DESTINATION
    assert trio.current_time() - before == pytest.approx(PATIENCE)


async def test_a_pod_that_the_mesh_does_not_know_calls_nobody(autojump_clock):
    lookup = Lookup(Asked())
    lookup.take(Update(None, (), (THERE,), whole=True))
    found = await lookup.ourselves()
    assert isinstance(found, Refusal)
    assert found.reason is Reason.UNKNOWN_WORKLOAD


async def test_everything_is_asked_again_of_the_next_supervisor_and_used_meanwhile(autojump_clock):
    lookup = Lookup(Asked())
    lookup._ask(THERE)
    lookup.take(Update(OWN.uid, (Put(OWN),), (THERE,), whole=True))
    assert lookup.greeting() == Ask((THERE,))
    assert isinstance(await lookup.around(THERE), View)
