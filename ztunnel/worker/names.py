"""What names are: first what the mesh says, which the supervisor is asked for, else what name servers say.

Nothing is kept of what the supervisor said while it answers; when it is silent, the last answer counts, and a name that
never had one is left to the name servers. What they say of an endpoint's host name is kept for as long as they allow.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from mesh.address import IP
from mesh.refusal import Reason, Refusal
from ztunnel import question as questions
from ztunnel.channel.message import Resolve, Resolved
from ztunnel.channel.naming import Naming, Outcome
from ztunnel.worker.upstream import Upstream

_T = TypeVar("_T")

_PATIENCE: Final = 1.0
"""Seconds that a question waits for the supervisor."""
_KEPT: Final = 512
"""Names of which the last answer is remembered."""
_LONGEST_TTL: Final = 60
_MOST_ADDRESSES: Final = 64


@dataclass(frozen=True, slots=True)
class _Kept:
    addresses: tuple[IP, ...]
    until: float


class Names:
    """Asks for names. `send` says whether a question could be sent."""

    def __init__(self, send: Callable[[Resolve], bool], upstream: Upstream, tell: Callable[[Naming], None]) -> None:
        self._send = send
        self._upstream = upstream
        self._tell = tell
        self._waiting: dict[str, trio.Event] = {}
        self._known: OrderedDict[str, Resolved] = OrderedDict()
        self._hosts: OrderedDict[str, _Kept] = OrderedDict()

    def take(self, resolved: Resolved) -> None:
        """Take in what the supervisor said."""
        _keep(self._known, resolved.name, resolved)
        if (event := self._waiting.pop(resolved.name, None)) is not None:
            event.set()

    async def known(self, name: str) -> Resolved:
        """What the mesh says of a name (lower case, no final dot)."""
        event = self._waiting.get(name)
        if event is None and self._send(Resolve(name)):
            event = self._waiting[name] = trio.Event()
        if event is not None:
            with trio.move_on_after(_PATIENCE):
                await event.wait()
            if self._waiting.get(name) is event:
                del self._waiting[name]
        return self._known.get(name) or Resolved(name)

    async def addresses(self, hostname: str) -> tuple[IP, ...] | Refusal:
        """The addresses of an endpoint of which only a host name is known. The mesh is not asked: it knows the host
        by a virtual address, behind which the very same endpoint stands."""
        kept = self._hosts.get(hostname)
        if kept is not None and kept.until > trio.current_time():
            return kept.addresses
        self._tell(Naming(Outcome.ON_DEMAND))
        answers = [await self._ask(hostname, version) for version in (4, 6)]
        said = [one for one in answers if isinstance(one, questions.Found)]
        addresses = tuple(ip for one in said for ip in one.addresses)[:_MOST_ADDRESSES]
        if addresses:
            ttl = min(_LONGEST_TTL, *(one.ttl for one in said if one.addresses))
            _keep(self._hosts, hostname, _Kept(addresses, trio.current_time() + ttl))
            return addresses
        if kept is not None and not said:  # nobody answers: what was true is better than nothing (RFC 8767)
            return kept.addresses
        faults = [one for one in answers if isinstance(one, Refusal)]
        return faults[0] if faults else Refusal(Reason.NO_HEALTHY_ENDPOINT, f"{hostname} has no address")

    async def _ask(self, hostname: str, version: int) -> questions.Found | Refusal:
        question = questions.write(hostname, version, 0)
        if question is None:
            return Refusal(Reason.NO_HEALTHY_ENDPOINT, f"{hostname} is no host name")
        reply = await self._upstream.ask(question)
        if isinstance(reply, Refusal):
            return reply
        if questions.inconclusive(reply):
            return Refusal(Reason.NO_HEALTHY_ENDPOINT, f"the name servers fail to resolve {hostname}")
        found = questions.found(reply, question)
        return found or Refusal(Reason.NO_HEALTHY_ENDPOINT, f"what the name servers say of {hostname} cannot be read")


def _keep(cache: OrderedDict[str, _T], name: str, value: _T) -> None:
    cache[name] = value
    cache.move_to_end(name)
    if len(cache) > _KEPT:
        cache.popitem(last=False)
