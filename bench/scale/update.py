"""A change of one workload among 50,000: how soon the worker that asked has it, and what the other 199 cost then.

The supervisor's own parts, with a socket to each worker; what istiod sends has been decoded already.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

import trio
import trio.testing

from bench.table import Result, result
from mesh import pki
from mesh.address import NetworkAddress
from mesh.net.crlfile import CrlFile
from mesh.snapshot import Put, Resource
from mesh.workload import Membership, Port, Service, Workload
from ztunnel.channel.frames import LARGEST_DOWN, Frames, frame
from ztunnel.channel.message import Ask, Update, from_supervisor, to_supervisor
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.session import Session
from ztunnel.supervisor.state import State
from ztunnel.worker.start import Pod

WORKLOADS: Final = 50_000
WORKERS: Final = 200
_OF_A_SERVICE: Final = 10
_CHANGES: Final = 20
_PODS, _SERVICES = IPv4Address("10.64.0.0"), IPv4Address("10.96.0.0")
_PLACE: Final = Place("cluster.local", "Kubernetes", "")


def results() -> Iterator[Result]:
    """The medians of some changes, with as many workers and only the one that is concerned."""
    many, whole, rss = trio.run(_measured, WORKERS)
    alone, _, _ = trio.run(_measured, 1)
    name = f"scale.workloads.{WORKLOADS}"
    yield result(f"{name}.first", "s", "lower", [(whole, 0)])
    yield result(f"{name}.rss", "MB", "lower", [(rss, 0)])
    yield result(f"{name}.change", "ms", "lower", list(zip(many, alone, strict=True)))


async def _measured(workers: int) -> tuple[list[float], float, float]:
    """Milliseconds of each change until its worker has it, seconds of the first snapshot, megabytes after it."""
    state, resources = State(), list(_mesh())
    begun = time.perf_counter()
    state.apply([Put(one) for one in resources])
    whole = time.perf_counter() - begun
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    state.note_synced()
    async with trio.open_nursery() as nursery:
        ends = [await _connected(state, number, nursery) for number in range(workers)]
        took = [await _change(state, resources, number, ends[0]) for number in range(_CHANGES)]
        nursery.cancel_scope.cancel()
    return took, whole, rss


class _Worker:
    """The worker's end."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._frames = Frames(LARGEST_DOWN)

    async def ask(self, ip: IPv4Address) -> None:
        """Ask for one destination and wait for the answer."""
        await self._stream.send_all(frame(to_supervisor(Ask((ip,)))))
        while not (await self.update()).answered:
            pass

    async def update(self) -> Update:
        """The next update."""
        while True:
            for document in self._frames.receive(await self._stream.receive_some(65_536)):
                message = from_supervisor(document)
                if isinstance(message, Update):
                    return message


async def _connected(state: State, number: int, nursery: trio.Nursery) -> _Worker:
    """A worker that has called the service of its own number."""
    ours, theirs = socket.socketpair()
    pod = Pod(f"u-{number}", f"w-{number}", "many", "default")
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
    session = Session(
        pod,
        stream,
        state,
        _PLACE,
        sign=_unsigned,
        revoked=CrlFile(None),
        report=_ignore,
        named=_ignore,
        hold=_ignore,
    )
    nursery.start_soon(session.run)
    worker = _Worker(trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
    await worker.ask(_SERVICES + number + 1)
    return worker


async def _change(state: State, resources: list[Resource], number: int, worker: _Worker) -> float:
    """Another state of health for an endpoint of the first worker's service."""
    [endpoint] = [one for one in resources if isinstance(one, Workload) and one.name == "w-5"]
    begun = time.perf_counter()
    state.apply([Put(replace(endpoint, healthy=bool(number % 2)))])
    await worker.update()
    await trio.testing.wait_all_tasks_blocked()
    return 1000 * (time.perf_counter() - begun)


async def _unsigned(pod: Pod, csr: bytes) -> pki.Chain:
    raise AssertionError(f"nobody asks for a certificate for {pod}: {csr!r}")


def _ignore(_: object) -> None:
    return


def _mesh() -> Iterator[Resource]:
    for number in range(WORKLOADS // _OF_A_SERVICE):
        vip = NetworkAddress("", _SERVICES + number + 1)
        yield Service(f"s-{number}", "many", f"s-{number}.many.svc.cluster.local", (vip,), (Port(80, 8080),))
    for number in range(WORKLOADS):
        name = f"w-{number}"
        service = f"many/s-{number // _OF_A_SERVICE}.many.svc.cluster.local"
        yield Workload(
            f"Kubernetes//Pod/many/{name}",
            name,
            "many",
            "default",
            addresses=(_PODS + number + 1,),
            services=(Membership(service),),
        )
