"""What is done with a request, or with a connection whose content is opaque. Pure.

    identify -> authorize -> the caller's routes -> the best rule -> its filters -> a backend by weight -> an endpoint

Without routes a request goes to the service that was called, as it came. With routes, what no rule matches is 404, the
share of a backend that cannot be is 500, and a service without a usable endpoint is 503. Only the callee's own routes
are asked; those of a backend's service are not (GEP-1294).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mesh.address import IP
from mesh.balance import Dice
from mesh.health import NOTHING_LEARNED, Health
from mesh.identity import Identity
from mesh.policy import Policy
from mesh.refusal import Reason, Refusal
from mesh.route import Backend, Choice, Filter, HeaderModifier, Redirect, Retry, applicable
from mesh.snapshot import Snapshot
from mesh.verdict import Call, HttpCall, Verdict, authorize, claims_asked, headers_asked
from mesh.workload import AppProtocol, Service
from waypoint import filters
from waypoint.admission import admitted, http_call
from waypoint.affinity import Affinity
from waypoint.answer import Answer
from waypoint.authentication import Authentication, Identified, authentication
from waypoint.balancer import Balancer
from waypoint.callee import Callee, Gateway, jwt_rules, policies
from waypoint.check import Check, check_message
from waypoint.cors import cors_of, preflight
from waypoint.endpoint import Endpoint, Ends
from waypoint.http.events import RequestHead
from waypoint.selection import bound, select
from waypoint.table import Table, table

_VERDICTS: Final = 256
"""Verdicts kept for a question; callers that ask for ever new paths have no more."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as its certificate says, and from where."""

    identity: Identity
    ip: IP


class Memo:
    """What follows from a question alone: worked out once, for all requests that ask it."""

    __slots__ = ("asked", "authentication", "claims", "ends", "policies", "table", "verdicts")

    def __init__(self) -> None:
        self.policies: tuple[Policy, ...] | None = None
        self.asked: frozenset[str] = frozenset()
        """The headers that the policies ask for."""
        self.claims: frozenset[tuple[str, ...]] = frozenset()
        """The claims of a token that they ask for."""
        self.authentication: Authentication | None = None
        self.verdicts: dict[HttpCall, Verdict] = {}
        self.table: Table | None = None
        self.ends: dict[tuple[str, int], Ends] = {}


def _beginning() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """One call to be decided: everything but the request itself."""

    snapshot: Snapshot
    here: Gateway
    callee: Callee
    caller: Caller
    dice: Dice
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)
    health: Health = field(default=NOTHING_LEARNED, compare=False, repr=False)
    """What has been learned of the endpoints so far."""
    now: Callable[[], float] = _beginning
    """The time on the clock of `health`; the question outlives many requests."""
    balancer: Balancer = field(default_factory=Balancer, compare=False, repr=False)
    """Chooses where the service's policy says how."""
    wall: Callable[[], float] = _beginning
    """The time by which tokens are valid, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request, as filters left it, to this endpoint. Times are seconds; None is no limit."""

    endpoint: Endpoint
    request: RequestHead
    response_changes: tuple[HeaderModifier, ...] = ()
    timeout: float | None = None
    """For the whole, all attempts included."""
    attempt_timeout: float | None = None
    retry: Retry | None = None
    mirrors: tuple[Endpoint, ...] = ()
    """Who gets a copy, without its answer counting."""
    choice: Choice | None = None
    bond: Affinity | None = None
    """What binds it to its endpoint, where the service's policy hashes."""
    policy: str = ""
    """The key of the policy that allowed it, where one did."""
    dry_run: str = ""
    """What policies on a dry run would have decided (mesh.verdict.Verdict)."""
    delay: float = 0.0
    """By how much it is held back first."""
    counted: tuple[str, ...] = ()
    """The keys of the traffic policies among whose requests in progress it counts."""
    audit: str = ""
    """The keys of the AUDIT policies that match."""
    check: Check | None = None
    """What an external authorizer is to be asked first."""
    secret: frozenset[bytes] = frozenset()
    """The parameters of the request's query that no log may show."""


def plan(question: Question, request: RequestHead) -> Forward | Answer:
    """Decide one request."""
    request = admitted(request)
    secret = _authentication(question).parameters
    known = identify(question, request)
    if isinstance(known, Answer):
        return replace(known, secret=secret)
    request = known.request
    verdict = authorize_request(question, known)
    if verdict.allowed:
        decision = _routed(question, request)
    else:
        decision = Answer(403, "RBAC: access denied", refusal=Refusal(Reason.POLICY_DENIED, verdict.why))
    if verdict.policy or verdict.dry_run or verdict.audit or secret or verdict.ask:
        return replace(
            decision,
            policy=verdict.policy or "",
            dry_run=verdict.dry_run,
            audit=verdict.audit,
            check=_check(question, verdict, request),
            secret=secret,
        )
    return decision


def _check(question: Question, verdict: Verdict, request: RequestHead) -> Check | None:
    """What an external authorizer is to be asked, if anything."""
    authorizer, caller = verdict.ask, question.caller
    if authorizer is None:
        return None
    service = question.snapshot.services.get(authorizer.service)
    if service is None:
        nobody = f"the mesh knows no service {authorizer.service}"
        endpoint: Endpoint | Refusal = Refusal(Reason.UNKNOWN_DESTINATION, nobody)
    else:
        endpoint = select(question, service, authorizer.port, bound(question, service, request))
    message = check_message(caller.identity, str(caller.ip), question.callee, request, question.wall())
    return Check(authorizer, verdict.asked_by, endpoint, message)


def still_allowed(question: Question, request: RequestHead) -> Refusal | None:
    """Why a request, as its caller sent it, would be refused now; None if it would not."""
    known = identify(question, admitted(request))
    if isinstance(known, Answer):
        return known.refusal
    verdict = authorize_request(question, known)
    return None if verdict.allowed else Refusal(Reason.POLICY_DENIED, verdict.why)


def plan_opaque(question: Question) -> Endpoint | Refusal:
    """Decide a connection of which only layer 4 is known."""
    verdict = authorize(_policies(question), _call(question, None))
    if not verdict.allowed:
        return Refusal(Reason.POLICY_DENIED, verdict.why)
    service = question.callee.service
    return _called(question, bound(question, service, None) if service is not None else None)


def identify(question: Question, request: RequestHead) -> Identified | Answer:
    """Whom a request is from by its token, if one is looked for, or why it is refused for it."""
    rules = _authentication(question)
    return rules.identify(request, question.wall()) if rules.sources else Identified(request)


def authorize_request(question: Question, known: Identified) -> Verdict:
    """The verdict of the policies in force here on one request."""
    in_force, memo = _policies(question), question.memo
    http = http_call(known, memo.asked, memo.claims)
    verdicts = memo.verdicts
    verdict = verdicts.get(http)
    if verdict is None:
        if len(verdicts) >= _VERDICTS:
            verdicts.clear()
        verdict = verdicts[http] = authorize(in_force, _call(question, http))
    return verdict


def _routed(question: Question, request: RequestHead) -> Forward | Answer:
    service = question.callee.service
    if service is None:
        return _straight(question, request)
    rules = _table(question, service)
    if not rules.routes:
        return _straight(question, request)
    choice = rules.best(request)
    if choice is None:
        names = ", ".join(route.key for route in rules.routes)
        return Answer(404, refusal=Refusal(Reason.NO_ROUTE, f"no rule matches the request ({names})"))
    return _by_rule(question, request, choice)


def _by_rule(question: Question, request: RequestHead, choice: Choice) -> Forward | Answer:
    rule = choice.rule
    if rule.broken is None and (answer := _instead(question, request, choice, rule.filters, rule.filters)):
        return answer
    backend = _share(rule.backends, question.dice)
    if rule.broken is not None or backend is None:
        return _broken(choice, rule.broken or "the rule has no backend")
    service = question.snapshot.services.get(backend.service)
    if backend.broken is not None or service is None or service.port(backend.port) is None:
        unknown = f"the mesh knows no service {backend.service} with port {backend.port}"
        return _broken(choice, backend.broken or unknown)
    used = (*rule.filters, *backend.filters)
    if answer := _instead(question, request, choice, backend.filters, used):
        return answer
    bond = bound(question, service, request)
    endpoint = select(question, service, backend.port, bond)
    if isinstance(endpoint, Refusal):
        return replace(_nobody(endpoint), choice=choice)
    forward = _forwarded(question, request, choice, backend, endpoint)
    return forward if bond is None else _bonded(forward, bond)


def _forwarded(
    question: Question, request: RequestHead, choice: Choice, backend: Backend, endpoint: Endpoint
) -> Forward:
    rule = choice.rule
    changes: tuple[HeaderModifier, ...] = ()
    copies: tuple[Endpoint, ...] = ()
    if used := (*rule.filters, *backend.filters):
        # The answer passes the filters in the opposite order: the backend's own first.
        changes = filters.response_changes(request, (*backend.filters, *rule.filters))
        copies = tuple(_mirrors(question, used))
        request = filters.on_request(request, used, filters.covered(choice.match.path))
    timeouts = rule.timeout or None, rule.backend_timeout or None
    return Forward(endpoint, request, changes, *timeouts, rule.retry, copies, choice)


def _mirrors(question: Question, used: Sequence[Filter]) -> Iterator[Endpoint]:
    for mirror in filters.mirrors(used, question.dice):
        service = question.snapshot.services.get(mirror.service)
        endpoint = select(question, service, mirror.port) if service is not None else None
        if isinstance(endpoint, Endpoint):
            yield endpoint


def another(question: Question, forward: Forward, tried: frozenset[str]) -> Endpoint:
    """The endpoint for one more attempt: one that was not tried yet (by uid), if there is such."""
    service, port = forward.endpoint.service, forward.endpoint.port
    if service is None:
        return forward.endpoint
    found = select(question, service, port, forward.bond, tried)
    if isinstance(found, Refusal):
        found = select(question, service, port, forward.bond)
    return forward.endpoint if isinstance(found, Refusal) else found


def _straight(question: Question, request: RequestHead) -> Forward | Answer:
    """To what was called, as the request came."""
    service = question.callee.service
    bond = bound(question, service, request) if service is not None else None
    endpoint = _called(question, bond)
    if isinstance(endpoint, Refusal):
        return _nobody(endpoint)
    forward = Forward(endpoint, request)
    return forward if bond is None else _bonded(forward, bond)


def _bonded(forward: Forward, bond: Affinity) -> Forward:
    """The same with what binds it; the caller gets the cookie, if one was made."""
    made = (bond.made,) if bond.made is not None else ()
    return replace(forward, bond=bond, response_changes=(*forward.response_changes, *made))


def _nobody(refusal: Refusal) -> Answer:
    return Answer(503, "no healthy upstream", refusal=refusal)


def _instead(
    question: Question, request: RequestHead, choice: Choice, own: Sequence[Filter], used: Sequence[Filter]
) -> Answer | None:
    """What a preflight or a redirect among `own` filters answers, which spares the backend; `used` change it."""
    if not own:
        return None
    cors, redirect = cors_of(own), filters.redirect_of(own)
    granted = preflight(cors, request) if cors is not None else None
    if granted is not None:
        return Answer(204, headers=granted, choice=choice)
    return None if redirect is None else _redirected(question, request, choice, redirect, used)


def _redirected(
    question: Question, request: RequestHead, choice: Choice, redirect: Redirect, used: Sequence[Filter]
) -> Answer:
    prefix, port = filters.covered(choice.match.path), question.callee.port
    where = filters.location(request, redirect, prefix, port)
    headers = filters.on_response(((b"location", where),), filters.response_changes(request, used))
    return Answer(redirect.status, headers=headers, choice=choice)


def _broken(choice: Choice, why: str) -> Answer:
    return Answer(500, refusal=Refusal(Reason.BROKEN_ROUTE, f"{choice.route.key}: {why}"), choice=choice)


def _share(backends: Sequence[Backend], dice: Dice) -> Backend | None:
    """One backend by weight; None when all weights together are nothing."""
    mark = dice() * sum(one.weight for one in backends)
    for one in backends:
        mark -= one.weight
        if mark < 0:
            return one
    return None


def _called(question: Question, bond: Affinity | None) -> Endpoint | Refusal:
    """The endpoint of what was called itself."""
    callee = question.callee
    if callee.service is not None:
        return select(question, callee.service, callee.port, bond)
    if callee.workload is None or not callee.workload.healthy:
        return Refusal(Reason.NO_HEALTHY_ENDPOINT, f"{callee.name} is not ready")
    return Endpoint(callee.workload, callee.address, AppProtocol.UNKNOWN)


def _table(question: Question, service: Service) -> Table:
    found = question.memo.table
    if found is None:
        routes, space = question.snapshot.routes_of(service.key), question.caller.identity.namespace
        found = question.memo.table = table(applicable(routes, service.key, question.callee.port, space))
    return found


def _policies(question: Question) -> tuple[Policy, ...]:
    found = question.memo.policies
    if found is None:
        found = question.memo.policies = policies(question.snapshot, question.here, question.callee)
        question.memo.asked = headers_asked(found)
        question.memo.claims = claims_asked(found)
    return found


def _authentication(question: Question) -> Authentication:
    found = question.memo.authentication
    if found is None:
        rules = jwt_rules(question.snapshot, question.here, question.callee)
        found = question.memo.authentication = authentication(rules)
    return found


def _call(question: Question, http: HttpCall | None) -> Call:
    return Call(question.caller.identity, question.caller.ip, question.callee.address, http)
