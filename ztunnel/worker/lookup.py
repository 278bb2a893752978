"""Questions to the node's supervisor, with bounded patience: what lies at an address, and who we are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from mesh.address import IP
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.workload import Workload
from ztunnel.channel.message import Ask, Forget, Sign, Update
from ztunnel.worker.knowledge import Asking, Knowledge

PATIENCE: Final = 5.0
"""Seconds that a connection waits for an answer."""


@dataclass(frozen=True, slots=True)
class View:
    """What a decision is made on: the snapshot of this moment and the worker's own workload in it."""

    snapshot: Snapshot
    own: Workload


class Lookup:
    """The worker's knowledge with a way to ask for more; `send` says whether the question could be sent."""

    def __init__(self, send: Callable[[Ask | Forget | Sign], bool]) -> None:
        self._send = send
        self._knowledge = Knowledge()
        self._news = trio.Event()
        self._view: View | None = None
        self.changed: Callable[[View], None] = _nothing
        """Called after every update that left us a workload of our own."""

    def greeting(self) -> Ask:
        """What a new connection to the supervisor begins with."""
        return Ask(self._knowledge.asked)

    def take(self, update: Update) -> None:
        """Take in what the supervisor said, and wake whoever waits for it."""
        self._knowledge.take(update)
        own = self._knowledge.own
        self._view = View(self._knowledge.snapshot, own) if own is not None else None
        self._news.set()
        self._news = trio.Event()
        if self._view is not None:
            self.changed(self._view)

    def view(self) -> View | None:
        """What is known at this moment; None while the mesh does not know this pod."""
        return self._view

    def leads_here(self, ip: IP) -> str | None:
        """Whether what is sent to an address may come to this pod itself, and why; None if not.

        A pod that serves names to the mesh must not be asked what its own processes ask: it would ask for ever.
        """
        if self._view is None:
            return None
        own, services = self._view.own, self._view.snapshot.services
        if ip in own.addresses:
            return f"name server {ip} is this pod itself"
        for membership in own.services:
            service = services.get(membership.service)
            if service is not None and any(one.ip == ip for one in service.addresses):
                mend = "annotate its pods ambient.istio.io/dns-capture: 'false'"
                return f"name server {ip} is service {service.key}, which this pod is an endpoint of: {mend}"
        return None

    async def ourselves(self) -> View | Refusal:
        """The view, waited for if need be."""
        if self._view is not None:
            return self._view
        with trio.move_on_after(PATIENCE):
            while self.view() is None:
                await self._news.wait()
        return self.view() or Refusal(Reason.UNKNOWN_WORKLOAD, f"after {PATIENCE:g} s the mesh does not know this pod")

    def known(self, ip: IP) -> View | None:
        """The view, if everything about `ip` is in it; otherwise `around` is to be awaited."""
        return self._view if self._knowledge.knows(ip) else None

    async def around(self, ip: IP) -> View | Refusal:
        """The view once everything about `ip` is in it."""
        asking = self._ask(ip)
        if asking is Asking.FULL:
            return Refusal(Reason.OVER_BUDGET, "too many look-ups are open, this worker begins no more")
        if asking is not Asking.ANSWERED and not await self._answered(ip):
            detail = f"the node's supervisor did not say within {PATIENCE:g} s what lies at {ip}"
            return Refusal(Reason.UNKNOWN_DESTINATION, detail)
        return await self.ourselves()

    def _ask(self, ip: IP) -> Asking:
        asking = self._knowledge.look(ip)
        if asking is Asking.NEEDED:
            self._send(Ask((ip,)))
            if surplus := self._knowledge.surplus():
                self._send(Forget(surplus))
        return asking

    async def _answered(self, ip: IP) -> bool:
        with trio.move_on_after(PATIENCE):
            while self._ask(ip) is not Asking.ANSWERED:
                await self._news.wait()
        return self._ask(ip) is Asking.ANSWERED


def _nothing(_view: View) -> None:
    return
