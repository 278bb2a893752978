"""What outlives what: connections, certificates, workers, supervisors; each may go while the others stay."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from mesh.refusal import Reason
from tests.pods_for_tests import assert_refused, assert_reset, exchange
from tests.tunnel_ends import until
from ztunnel.fork import Order
from ztunnel.keeper.forks import Forks
from ztunnel.keeper.part import Programs
from ztunnel.release import installed
from ztunnel.worker.start import Pod, Settings

pytestmark = pytest.mark.netns


async def connect(pair) -> tuple[trio.SocketStream, trio.SocketStream, trio.SocketListener]:
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    await exchange(client, server)
    return client, server, application


async def test_shutdown_lifecycle(pair):
    """With nothing alive a worker ends at once."""
    with trio.fail_after(1.5):
        pair.web.worker.tell_to_end()
        assert await pair.web.worker.ended() == 0


@pytest.mark.parametrize("side", ["web", "db"])
async def test_shutdown_drain(pair, side):
    """A draining worker lets live connections go on, and ends with the last of them."""
    client, server, _ = await connect(pair)
    worker = getattr(pair, side).worker
    worker.tell_to_end()
    with trio.move_on_after(0.5):
        await worker.ended()
    await exchange(client, server)
    await client.aclose()
    await server.aclose()
    assert await worker.ended() == 0
    assert (await pair.told(outbound=side == "web")).refusal is None


@pytest.mark.parametrize("side", ["web", "db"])
async def test_shutdown_forced_drain(pair, side):
    """A connection that outlives the time to drain is ended, and told of."""
    client, server, _ = await connect(pair)
    worker = getattr(pair, side).worker
    worker.tell_to_end()
    assert await worker.ended() == 0
    await assert_reset(client)
    await assert_reset(server)
    assert (await pair.told(outbound=side == "web")).refusal.reason is Reason.DRAINING


@pytest.mark.parametrize("side", ["web", "db"])
async def test_relieved_it_lets_connections_live_for_longer_than_told_to_end(pair, side):
    """Nothing is reset; its tunnels say GOAWAY, so that new streams go elsewhere. Told to end, it ends in seconds."""
    client, server, _ = await connect(pair)
    worker = getattr(pair, side).worker
    worker.process.send_signal(signal.SIGUSR1)
    await trio.sleep(2.5)  # longer than the time to drain of one that is told to end
    await exchange(client, server)
    assert worker.process.poll() is None
    worker.tell_to_end()
    assert await worker.ended() == 0
    await assert_reset(client)


async def test_relieved_it_ends_with_its_last_connection(pair):
    client, server, _ = await connect(pair)
    pair.web.worker.process.send_signal(signal.SIGUSR1)
    await exchange(client, server)
    await client.aclose()
    await server.aclose()
    assert await pair.web.worker.ended() == 0
    assert (await pair.told(outbound=True)).refusal is None


async def test_told_to_end_twice_a_worker_ends_at_once(pair):
    client, server, _ = await connect(pair)
    pair.db.worker.tell_to_end()
    with trio.move_on_after(0.2):
        await pair.db.worker.ended()
    with trio.fail_after(1.5):
        pair.db.worker.tell_to_end()
        assert await pair.db.worker.ended() == 0
    await assert_reset(client)
    await assert_reset(server)


async def test_a_successor_serves_while_its_predecessor_drains(pair):
    client, server, application = await connect(pair)
    successor = pair.node.start_worker("db", pair.db.place.namespace, pair.db.listeners)
    await successor.serving()
    pair.db.worker.tell_to_end()
    second = await pair.web.call(pair.db.address(), 8080)
    other = await application.accept()
    await exchange(second, other)
    await exchange(client, server)


async def test_kill_of_one_worker_concerns_no_other(pair):
    """What arrives while there is none waits in the listener's queue for the next."""
    client, _, application = await connect(pair)
    pair.db.worker.process.send_signal(signal.SIGKILL)
    await pair.db.worker.ended()
    await assert_reset(client)
    async with trio.open_nursery() as nursery:
        answered = trio.Event()

        async def call() -> None:
            stream = await pair.web.call(pair.db.address(), 8080)
            await stream.send_all(b"patience")
            assert await stream.receive_some(16) == b"rewarded"
            answered.set()

        nursery.start_soon(call)
        successor = pair.node.start_worker("db", pair.db.place.namespace, pair.db.listeners)
        await successor.serving()
        with trio.fail_after(10):
            late = await application.accept()
            assert await late.receive_some(16) == b"patience"
            await late.send_all(b"rewarded")
            await answered.wait()
    assert pair.web.worker.process.poll() is None


async def test_a_supervisor_may_come_and_go(pair):
    """Live connections and known destinations do without it; what happened meanwhile is told to the next."""
    client, server, application = await connect(pair)
    async with pair.node.away():
        await exchange(client, server)
        second = await pair.web.call(pair.db.address(), 8080)
        await exchange(second, await application.accept())
        await second.aclose()
        told = len(pair.node.records)
    await until(lambda: len(pair.node.records) > told)
    await exchange(client, server)
    third = await pair.web.call(pair.db.address(), 8080)
    await exchange(third, await application.accept())


async def test_an_unknown_destination_is_refused_while_the_supervisor_is_away(pair):
    """Nobody can say whether it is to be protected."""
    async with pair.node.away():
        await assert_refused(pair.web, "10.244.1.99", 80)
    record = await pair.told(outbound=True)
    assert record.refusal.reason is Reason.UNKNOWN_DESTINATION


async def test_nobody_is_told_anything_before_istiod_has_told_everything(pair):
    """A supervisor that has just started knows nothing: what it does not know might exist all the same."""
    async with pair.node.away():
        pair.node.forget_everything()
    client = await pair.web.call(pair.db.address(), 8080)
    pair.node.know(pair.web.workload, pair.db.workload, pair.service)
    application = pair.db.listen(8080)
    await exchange(client, await application.accept())
    await client.aclose()
    assert (await pair.told(outbound=True)).mutual_tls


async def test_certificate_rotation(pair):
    """A connection that lives is not touched when both certificates under it have been replaced and have expired."""
    pair.node.ttl = timedelta(seconds=3)
    for side in (pair.web, pair.db):
        side.worker.tell_to_end()
        await side.worker.ended()
        side.worker = pair.node.start_worker(side.workload.name, side.place.namespace, side.listeners)
        await side.worker.serving()
    signed = len(pair.node.signed)
    client, server, application = await connect(pair)
    await until(lambda: len(pair.node.signed) >= signed + 6)
    await exchange(client, server)
    fresh = await pair.web.call(pair.db.address(), 8080)
    await exchange(fresh, await application.accept())


async def test_certificates_are_renewed_by_the_next_supervisor(pair):
    """And it is told of the one in force, which it had no part in."""
    pair.node.ttl = timedelta(seconds=6)
    pair.web.worker.tell_to_end()
    await pair.web.worker.ended()
    pair.web.worker = pair.node.start_worker("web", pair.web.place.namespace, pair.web.listeners)
    await pair.web.worker.serving()
    async with pair.node.away():
        signed = len(pair.node.signed)
        pair.node.forget_everything()
    await until(lambda: pair.node.expires("web") is not None)
    first = pair.node.expires("web")
    pair.node.know(pair.web.workload, pair.db.workload, pair.service)
    await until(lambda: len(pair.node.signed) > signed and pair.node.expires("web") > first)
    await connect(pair)


async def test_an_expired_certificate_refuses_with_the_reason(pair):
    pair.node.ttl = timedelta(seconds=2)
    pair.web.worker.tell_to_end()
    await pair.web.worker.ended()
    pair.web.worker = pair.node.start_worker("web", pair.web.place.namespace, pair.web.listeners)
    await pair.web.worker.serving()
    pair.node.authority_is_away = True
    pair.db.listen(8080)

    async def refused() -> bool:
        try:
            stream = await pair.web.call(pair.db.address(), 8080)
            with trio.move_on_after(0.2):
                await stream.receive_some(1)
        except (ConnectionResetError, trio.BrokenResourceError):
            return True
        return False

    with trio.fail_after(10):
        while not await refused():
            pass
    await until(lambda: any(one.refusal for one in pair.node.closed(outbound=True)))
    record = next(one for one in pair.node.closed(outbound=True) if one.refusal)
    assert record.refusal.reason is Reason.CERTIFICATE_EXPIRED


def private_megabytes(pid: int) -> float:
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    sizes = {row[0]: int(row[1]) for row in rows}
    return (sizes["Private_Clean:"] + sizes["Private_Dirty:"]) / 1024


async def test_an_idle_worker_is_small(pair, capsys):
    """Forked from a zygote, confined, certified and serving: what it has of its own. The goal is 6 MB."""
    listeners = pair.web.listeners.duplicate()
    pair.web.worker.tell_to_end()
    await pair.web.worker.ended()
    forks = Forks(Programs.of(installed()).zygote)
    order = Order(Pod("web", "web", "shop", "web"), 1_337_000, str(pair.node.path), Settings())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(forks.run)
        worker = await forks.fork(order, pair.web.place.namespace, listeners.descriptors())
        pair.node.admit(order.pod, worker.pid, order.uid)
        worker.begin()
        assert await worker.wait_ready()
        idle = private_megabytes(worker.pid)
        await connect(pair)
        used = private_megabytes(worker.pid)
        worker.send(signal.SIGKILL)
        worker.close()
        nursery.cancel_scope.cancel()
    listeners.close()
    with capsys.disabled():
        print(f"\na worker has {idle:.1f} MB of its own when idle, {used:.1f} MB with one connection")
    assert idle <= 8.5
