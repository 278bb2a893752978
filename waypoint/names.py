"""Endpoints of which istiod knows a host name only: where they are is looked up, and again from time to time.

Decisions are made on addresses alone, and never wait: an endpoint whose name has not been resolved is none. What is not
answered any more goes on with the addresses that it had.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import trio

from mesh.address import IP, parse_ip
from mesh.snapshot import Change, Put, Snapshot
from mesh.workload import Workload
from waypoint.callee import Gateway, is_here

REFRESH: Final = 30.0
"""Seconds after which a name is looked up again."""
RETRY: Final = 5.0
"""The same for one that could not be resolved."""
_GATHER: Final = 0.2
"""Seconds that changes are gathered for: finding the names of interest means looking at every service."""
_TOGETHER: Final = 8
_PATIENCE: Final = 5.0
_MOST_ADDRESSES: Final = 64

_log = logging.getLogger("waypoint")

LookUp = Callable[[str], Awaitable[Sequence[IP]]]
"""The addresses of a host name; raises OSError if there are none to be had."""


async def look_up(hostname: str) -> Sequence[IP]:
    """Ask the system's resolver. Raises OSError."""
    found = await trio.socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(parse_ip(str(address[0])) for *_, address in found))[:_MOST_ADDRESSES]


def named(snapshot: Snapshot, here: Gateway) -> Iterator[Workload]:
    """The endpoints that this waypoint may have to call and that have a host name: those of the services bound here,
    and of the services that routes lead to."""
    keys = {key for key, one in snapshot.services.items() if one.waypoint and is_here(snapshot, here, one.waypoint)}
    rules = (rule for route in snapshot.routes.values() for rule in route.rules)
    keys |= {backend.service for rule in rules for backend in rule.backends}
    found = {one.uid: one for key in sorted(keys) for one in snapshot.endpoints(key) if one.hostname}
    yield from found.values()


class Names:
    """Knows where host names are. `changed` is called with the endpoints whose addresses changed."""

    def __init__(self, here: Gateway, snapshot: Callable[[], Snapshot], look_up: LookUp = look_up) -> None:
        self._here = here
        self._snapshot = snapshot
        self._look_up = look_up
        self._known: dict[str, tuple[IP, ...]] = {}
        self._asked: dict[str, float] = {}
        self._stirred = trio.Event()
        self.changed: Callable[[list[Change]], object] = lambda _: None

    def filled(self, changes: Sequence[Change]) -> list[Change]:
        """The changes as istiod told them, with the addresses that are known of endpoints that came with a name."""
        self._stirred.set()
        return [self._fill(one) for one in changes]

    async def run(self) -> None:
        """Look names up until cancelled."""
        while True:
            self._stirred = trio.Event()
            await self._refresh()
            with trio.move_on_after(RETRY):
                await self._stirred.wait()
            await trio.sleep(_GATHER)

    async def _refresh(self) -> None:
        workloads = list(named(self._snapshot(), self._here))
        names = {one.hostname for one in workloads if not one.addresses or one.hostname in self._known}
        for gone in self._asked.keys() - names:
            del self._asked[gone]
            self._known.pop(gone, None)
        now = trio.current_time()
        due = sorted(name for name in names if now - self._asked.get(name, -REFRESH) >= REFRESH)
        limit = trio.CapacityLimiter(_TOGETHER)
        async with trio.open_nursery() as nursery:
            for name in due:
                self._asked[name] = now
                nursery.start_soon(self._resolve, name, limit)

    async def _resolve(self, name: str, limit: trio.CapacityLimiter) -> None:
        async with limit:
            try:
                with trio.fail_after(_PATIENCE):
                    found = tuple(sorted(await self._look_up(name), key=lambda ip: (ip.version, int(ip))))
            except (OSError, trio.TooSlowError) as fault:
                _log.warning("host name %s could not be resolved: %s", name, fault)
                self._asked[name] += RETRY - REFRESH
                return
        if found and found != self._known.get(name):
            self._known[name] = found
            at = [one for one in named(self._snapshot(), self._here) if one.hostname == name]
            self.changed([Put(replace(one, addresses=self._usable(one, found))) for one in at])

    def _fill(self, change: Change) -> Change:
        if isinstance(change, Put) and isinstance(change.resource, Workload) and not change.resource.addresses:
            known = self._known.get(change.resource.hostname)
            if known:
                return Put(replace(change.resource, addresses=self._usable(change.resource, known)))
        return change

    def _usable(self, workload: Workload, found: tuple[IP, ...]) -> tuple[IP, ...]:
        """Less the virtual addresses of the endpoint's own services, at which nobody is."""
        services = (self._snapshot().services.get(one.service) for one in workload.services)
        own = {at.ip for one in services if one is not None for at in one.addresses}
        return tuple(ip for ip in found if ip not in own)
