"""A connection by one of the pod's processes, until bytes flow or it is refused: where to, and the way there.

It all happens in the relay, in calls; a task is only made for what must be looked up.
"""

from __future__ import annotations

import random
import socket
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from mesh.address import IP, Address
from mesh.hbone.headers import BAGGAGE, FORWARDED, Forwarded
from mesh.net.deadlines import Wait
from mesh.net.flow import Flow, close_with_reset
from mesh.net.pool import ATTEMPTS, PoolKey
from mesh.net.reach import reach
from mesh.net.tunnel import Rejected, Stream, Tunnel
from mesh.refusal import Reason, Refusal
from mesh.trace import TRACEPARENT, TraceContext
from ztunnel.plan import Plan, Transport, Unresolved, Ways
from ztunnel.worker.boundary import contained, contained_task
from ztunnel.worker.lookup import View
from ztunnel.worker.sockets import PACKET_MARK, original_destination
from ztunnel.worker.witness import Witness

if TYPE_CHECKING:
    from mesh.net.exchange import Asked
    from ztunnel.worker.outbound import Outbound

_ANSWER_SECONDS: Final = 30.0
"""How long a peer may take to answer a CONNECT; it must reach its application first."""
_ENDPOINTS: Final = 3
"""How many endpoints are tried for one connection."""
_TRACE_BYTES: Final = 24


class Call:
    """One connection, until bytes flow or it is refused."""

    __slots__ = (
        "_asked",
        "_attempts",
        "_began",
        "_destination",
        "_endpoint",
        "_missed",
        "_of",
        "_plan",
        "_sock",
        "_source",
        "_span",
        "_trace",
        "_tried",
        "_view",
        "_wait",
        "_ways",
        "_witness",
    )

    _began: float
    _destination: Address
    _endpoint: str
    _plan: Plan
    _trace: TraceContext
    _view: View

    def __init__(self, of: Outbound, sock: socket.socket, source: Address, witness: Witness) -> None:
        self._of = of
        self._sock = sock
        self._source = source
        self._witness = witness
        self._asked: Asked | None = None
        self._span: TraceContext | None = None
        self._attempts = ATTEMPTS
        self._wait: Wait | None = None
        self._ways: Ways | None = None
        self._tried: tuple[str, ...] = ()
        self._missed: Refusal | None = None

    def fail(self) -> None:
        """End it by a fault of ours."""
        self._settle()
        self._witness.failed(self._sock)

    # ---- where to

    @contained
    def begin(self) -> None:
        """Find out where it is bound for."""
        try:
            self._destination = destination = original_destination(self._sock)
        except OSError:
            self._sock.close()  # it has gone already
            self._witness.vanished()
            return
        self._witness.learn(source=self._source, destination=destination)
        self._span = self._witness.traced(self._of.ground.sampling)
        view = self._of.ground.lookup.known(destination.ip)
        if view is None:
            self._of.ground.tasks.start_soon(self._look_up)
        else:
            self._decide(view)

    @contained_task
    async def _look_up(self) -> None:
        self._decide(await self._of.ground.lookup.around(self._destination.ip))

    @contained
    def _decide(self, view: View | Refusal) -> None:
        if isinstance(view, Refusal):
            self._refuse(view)
            return
        self._view = view
        found = self._of.directions.of(view, self._destination)
        if isinstance(found, Refusal):
            self._refuse(found)
        elif isinstance(found, Ways):
            self._ways = found
            self._choose(found)
        else:
            self._go(found)

    def _choose(self, among: Ways) -> None:
        """Try the next endpoint, if one is left; no byte of the caller's has left before it is reached."""
        now = self._began = trio.current_time()
        planned: Plan | Unresolved | Refusal
        if len(self._tried) < _ENDPOINTS:
            planned = among.pick(random.random, self._of.health, now, self._tried)
        else:
            planned = Refusal(Reason.NO_HEALTHY_ENDPOINT, "no endpoint was reached")
        if isinstance(planned, Refusal):
            self._refuse(self._missed or planned)
            return
        self._endpoint = planned.endpoint
        if isinstance(planned, Unresolved):
            self._of.ground.tasks.start_soon(self._resolve, planned)
        else:
            self._go(planned)

    @contained_task
    async def _resolve(self, named: Unresolved) -> None:
        self._witness.learn(endpoint=named.endpoint, service=named.service.key)
        found = await self._of.names.addresses(named.workload.hostname)
        planned = found if isinstance(found, Refusal) else named.at(found, random.random)
        if isinstance(planned, Refusal):
            self._miss(planned)
        else:
            self._go(planned)

    def _go(self, planned: Plan) -> None:
        self._plan = planned
        self._witness.learn(
            destination=planned.target,
            endpoint=planned.endpoint,
            service=planned.service.key if planned.service is not None else "",
            tunnel=None,
            trace=self._span.trace if self._span is not None else "",
        )
        self._witness.passed("resolved")
        if planned.transport is Transport.HBONE:
            self._enter_tunnel()
            return
        reach(
            self._of.ground.relay,
            planned.connect_to,
            self._reached,
            deadlines=self._of.ground.deadlines,
            timeout=self._of.ground.timeout,
            mark=PACKET_MARK,
            bind=_bind(self._source, planned),
        )

    # ---- what came of it

    def _arrive(self, flow: Flow) -> None:
        if self._ways is None:
            self._witness.follow(flow)
            return
        endpoint, now = self._endpoint, trio.current_time()
        self._of.health.opened(endpoint, now - self._began, now)
        self._witness.follow(flow, partial(self._of.health.closed, endpoint))

    def _miss(self, refusal: Refusal) -> None:
        """The endpoint was not reached; another one may serve it as well."""
        if self._ways is None:
            self._refuse(refusal)
            return
        self._missed = refusal
        self._witness.passed("endpoint missed")
        self._tried = (*self._tried, self._endpoint)
        self._of.health.failed(self._endpoint, trio.current_time())
        self._choose(self._ways)

    def _refuse(self, refusal: Refusal) -> None:
        self._witness.refused(refusal)
        close_with_reset(self._sock)

    @contained
    def _reached(self, far: socket.socket | Refusal) -> None:
        if isinstance(far, Refusal):
            self._miss(far)
        else:
            self._arrive(self._of.ground.relay.join(self._sock, far))

    # ---- through a tunnel

    def _enter_tunnel(self) -> None:
        planned = self._plan
        self._trace = self._span or TraceContext.of(random.randbytes(_TRACE_BYTES))  # noqa: S311 - a name, no secret
        self._witness.learn(tunnel=planned.connect_to, trace=self._trace.trace)
        refusal = self._of.certified()
        if refusal is not None:
            self._refuse(refusal)
            return
        self._wait = self._of.ground.deadlines.after(_ANSWER_SECONDS, self._too_late)
        self._of.pool.obtain(self._key, self._ask)

    @property
    def _key(self) -> PoolKey:
        return PoolKey(self._plan.accepts, self._plan.connect_to, _bind(self._source, self._plan))

    @contained
    def _ask(self, tunnel: Tunnel | Refusal) -> None:
        if isinstance(tunnel, Refusal):
            self._settle()
            self._miss(tunnel)
            return
        self._witness.passed("tunnel ready")
        service = self._plan.service
        headers = (
            (BAGGAGE, self._of.introduction.of(self._view)),
            (FORWARDED, Forwarded(self._source, service.hostname if service is not None else "").encode()),
            (TRACEPARENT, self._trace.encode()),
        )
        self._asked = tunnel.ask(self._plan.authority, headers, self._answered)

    @contained
    def _answered(self, answer: Stream | Rejected) -> None:
        self._attempts -= 1
        if isinstance(answer, Stream):
            self._settle()
            self._witness.learn(peer=answer.tunnel.peer, mutual_tls=True)
            self._witness.carried_by(answer.tunnel)
            self._arrive(answer.splice(self._sock))
        elif answer.unprocessed and self._attempts:
            self._of.pool.obtain(self._key, self._ask)
        else:
            self._settle()
            if _may_differ_elsewhere(answer, self._plan):
                self._miss(answer.refusal)
            else:
                self._refuse(answer.refusal)

    @contained
    def _too_late(self) -> None:
        self._of.pool.leave(self._key, self._ask)
        if self._asked is not None:
            self._asked.withdraw()
        at = self._plan.connect_to
        self._refuse(Refusal(Reason.CONNECT_TIMEOUT, f"{at} did not answer within {_ANSWER_SECONDS:g} s"))

    def _settle(self) -> None:
        """Nobody is waited for any more."""
        if self._wait is not None:
            self._wait.cancel()


def _may_differ_elsewhere(answer: Rejected, planned: Plan) -> bool:
    """Whether another endpoint may take what this one refused.

    Not when it says that the caller may not come in: nobody gets to try doors until one opens. Nor when a waypoint
    finds no endpoint, for its replicas would find none either.
    """
    return answer.unprocessed or (answer.status == 503 and not planned.waypoint)


def _bind(source: Address, planned: Plan) -> IP | None:
    """The pod's own address that its process called from, so that the callee sees the same one."""
    return source.ip if source.ip.version == planned.connect_to.ip.version else None
