"""What this waypoint would do with a request, and why. Pure, by the functions that decide real ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mesh.refusal import Refusal
from mesh.route import Backend, Choice, Route, RouteMatch, ValueMatch, applicable
from mesh.route import RequestHead as RouteHead
from mesh.traffic import Share, TrafficPolicy
from mesh.verdict import Call, HttpCall, claims_asked, headers_asked
from mesh.why import Explanation, Hop, Outcome, Step, ended, policy_steps
from waypoint.admission import admitted, http_call
from waypoint.answer import Answer
from waypoint.authentication import Identified
from waypoint.callee import Speech, policies, speech
from waypoint.endpoint import Endpoint
from waypoint.http.events import RequestHead
from waypoint.plan import Forward, Question, identify, plan, plan_opaque
from waypoint.regime import Regime
from waypoint.table import route_head


def requested(question: Question, request: RequestHead) -> Explanation:
    """For a request in a tunnel to what the question is about. Of one on an opaque port only layer 4 counts."""
    name = question.callee.name
    if speech(question.snapshot, question.callee) is Speech.OPAQUE:
        return _connected(question, Step("target", f"{name} is declared opaque: its content is not looked at"))
    request = admitted(request)
    head = route_head(request)
    target = Step("target", f"{name} is served by this waypoint")
    known = identify(question, request)
    if isinstance(known, Answer):
        return Explanation((target, _answered(known)))
    judged = (*_token(known), *_judged(question, _call(question, known)))
    if judged[-1].outcome is Outcome.NO:
        return Explanation((target, *judged))
    decision = plan(question, request)
    steps = (target, *judged, *_rules(question, head, decision.choice))
    if isinstance(decision, Answer):
        return Explanation((*steps, _answered(decision)))
    changed = () if decision.request == request else (Step("filters", _changes(request, decision)),)
    backends = () if decision.choice is None else _backends(decision.choice.rule.backends)
    steps = (*steps, *_limits(question, decision.choice), *changed, *backends, _at(decision.endpoint))
    return Explanation(steps, (_hop(decision.endpoint),))


def _token(known: Identified) -> Iterator[Step]:
    if known.token is not None:
        ends = "" if known.token.principal else ", which names no subject"
        yield Step("token", f"a token of {known.token.issuer} is valid{ends}: {known.token.principal or 'nobody'}")


def _connected(question: Question, target: Step) -> Explanation:
    judged = _judged(question, None)
    if judged[-1].outcome is Outcome.NO:
        return Explanation((target, *judged))
    found = plan_opaque(question)
    if isinstance(found, Refusal):
        return Explanation((target, *judged, ended("endpoint", found)))
    return Explanation((target, *judged, _at(found)), (_hop(found),))


def _judged(question: Question, http: HttpCall | None) -> tuple[Step, ...]:
    caller = question.caller
    call = Call(caller.identity, caller.ip, question.callee.address, http)
    return policy_steps(policies(question.snapshot, question.here, question.callee), call)


def _call(question: Question, known: Identified) -> HttpCall:
    in_force = policies(question.snapshot, question.here, question.callee)
    return http_call(known, headers_asked(in_force), claims_asked(in_force))


def _rules(question: Question, head: RouteHead, choice: Choice | None) -> Iterator[Step]:
    """Every rule of every route of the service: the one that is followed, and what keeps the others from it."""
    service, space = question.callee.service, question.caller.identity.namespace
    if service is None:
        return
    attached = [one for one in question.snapshot.routes_of(service.key) if one.port in {None, question.callee.port}]
    heard = applicable(attached, service.key, question.callee.port, space)
    for route in attached:
        if route not in heard:
            yield Step("route", f"{_name(route)} does not speak for callers of {space}", Outcome.BESIDE)
    for route in heard:
        for number, rule in enumerate(route.rules, 1):
            name = f"rule {number}{f' ({rule.name})' if rule.name else ''} of {_name(route)}"
            if choice is not None and (choice.route, choice.number) == (route, number):
                yield Step("route", f"{name} is followed: {_match(choice.match)} holds")
            else:
                yield Step("route", f"{name}: {_why_not(rule.matches, head)}", Outcome.BESIDE)


def _why_not(matches: Iterable[RouteMatch], head: RouteHead) -> str:
    faults = [_unmet(match, head) for match in matches]
    if "" in faults:
        return "matches, but another rule is more specific or older"
    return "; ".join(dict.fromkeys(faults)) or "it has no match"


def _unmet(match: RouteMatch, head: RouteHead) -> str:
    """The first condition that does not hold, in words; nothing if all do."""
    if not match.path.holds(head.path):
        return f"path {head.path} is not {match.path.kind.value} {match.path.value}"
    if match.method is not None and match.method != head.method:
        return f"method {head.method} is not {match.method}"
    for one in match.headers:
        if not one.holds(found := head.header(one.name)):
            return f"header {_value(one)} is wanted, not {found!r}" if found else f"header {_value(one)} is missing"
    for one in match.query:
        if not one.holds(found := head.parameter(one.name)):
            text = f"parameter {_value(one)} is"
            return f"{text} wanted, not {found!r}" if found else f"{text} missing"
    return ""


def _match(match: RouteMatch) -> str:
    parts = [f"path {match.path.kind.value} {match.path.value}"]
    parts += [f"method {match.method}"] if match.method is not None else []
    parts += [f"header {_value(one)}" for one in match.headers]
    parts += [f"parameter {_value(one)}" for one in match.query]
    return ", ".join(parts)


def _value(one: ValueMatch) -> str:
    return f"{one.name}{'~' if one.regex else '='}{one.value}"


def _name(route: Route) -> str:
    return f"{route.kind.value} {route.namespace}/{route.name}"


def _limits(question: Question, choice: Choice | None) -> Iterator[Step]:
    """What the service takes, and how it is spread; how much of it is left changes with every request."""
    if (service := question.callee.service) is not None:
        for policy in Regime(question.snapshot.traffic, service.key).policies(choice):
            yield from _terms(policy)


def _terms(policy: TrafficPolicy) -> Iterator[Step]:
    if (rate := policy.terms.rate) is not None:
        of = "each caller" if rate.share is Share.CALLER else "all callers together"
        yield Step("limit", f"{policy.title} takes {rate.requests} requests in {rate.per:g} s of {of}")
    if policy.terms.requests is not None:
        yield Step("limit", f"{policy.title} takes {policy.terms.requests} requests at a time")
    terms = policy.terms
    for most, what in (
        (terms.connections, "connections"),
        (terms.pending, "waiting requests"),
        (terms.retries, "retries"),
    ):
        if most is not None:
            yield Step("limit", f"{policy.title} allows {most} {what} at a time")
    if (injected := policy.terms.faults) is not None:
        if (abort := injected.abort) is not None:
            yield Step("fault", f"{policy.title} aborts {abort.percent:g} % of requests", Outcome.BESIDE)
        if (held := injected.delay) is not None:
            yield Step("fault", f"{policy.title} holds {held.percent:g} % of requests back for {held.seconds:g} s")
    if (balancing := policy.terms.balancing) is not None:
        on = balancing.hash_on
        by = f" of {on.source.value.lower()} {on.name}".rstrip() if on is not None else ""
        yield Step("balancing", f"{policy.title} spreads requests by {balancing.spread.value}{by}")


def _backends(backends: tuple[Backend, ...]) -> Iterator[Step]:
    total = sum(one.weight for one in backends)
    for one in backends if len(backends) > 1 else ():
        share = f"{one.weight} of {total} requests go to {one.service or 'nobody'} port {one.port}"
        yield Step("backend", f"{share}: {one.broken}, so they get 500" if one.broken else share)


def _changes(request: RequestHead, forward: Forward) -> str:
    new = forward.request
    parts = [
        f"{what} becomes {after.decode('latin-1')}"
        for what, before, after in (("path", request.path, new.path), ("host", request.authority, new.authority))
        if before != after
    ]
    if request.headers != new.headers:
        parts.append("headers are changed")
    return ", ".join(parts)


def _answered(answer: Answer) -> Step:
    if answer.refusal is None:
        where = next((value.decode("latin-1") for name, value in answer.headers if name == b"location"), "")
        return Step("answer", f"{answer.status} by the waypoint itself{f', to {where}' if where else ''}")
    refused = ended("answer", answer.refusal)
    return Step(refused.subject, f"{answer.status}, {refused.text}", refused.outcome)


def _at(endpoint: Endpoint) -> Step:
    how = "through a tunnel" if endpoint.tunnel is not None else "in clear text: it takes no tunnel"
    return Step("endpoint", f"workload {endpoint.workload.uid} at {endpoint.address}, {how}")


def _hop(endpoint: Endpoint) -> Hop:
    tunnel = endpoint.tunnel
    address = str(endpoint.address if tunnel is None else tunnel)
    return Hop(address, str(endpoint.address), endpoint.workload.uid, tunnel is not None)
