"""What authorization policies say of one call.

The rules of evaluation are those of `istio.security.Authorization`, with the fields of layer 7 beside them, so that
ztunnel and waypoint decide by one function:

- where a CUSTOM policy matches, an authorizer must allow the call besides;
- a DENY policy that matches denies; else, if no ALLOW policy is in force, the call is allowed; else one must match;
- a policy matches if any rule does; a rule if all its clauses do; a clause if any of its matches does;
- a match holds if each field that is given holds: a positive field if any value does, a negative one if none does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import unquote

from mesh.address import IP, Address
from mesh.identity import Identity
from mesh.policy import (
    Action,
    Authorizer,
    ClaimMatch,
    Clause,
    HeaderMatch,
    Match,
    Network,
    Policy,
    ServiceAccount,
    TextMatch,
)


@dataclass(frozen=True, slots=True)
class HttpCall:
    """What layer 7 knows of a call. `path` is normalised already and carries no query."""

    method: str
    path: str
    host: str
    headers: tuple[tuple[str, str], ...] = ()
    """Those that policies ask for, by name; several lines of one are joined by a comma (RFC 9110, section 5.3)."""
    principal: str = ""
    """Whom a valid token names, `issuer/subject`; "" for a request without one."""
    claims: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    """The claims of that token that policies ask for, by their path."""

    def header(self, name: str) -> str:
        """The header's value, "" if there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def claim(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The claim's values, none if the token does not have it or there is no token."""
        return next((values for key, values in self.claims if key == path), ())


@dataclass(frozen=True, slots=True)
class Call:
    """The facts on which a policy decides; `identity` is None for a caller that proved none."""

    identity: Identity | None
    source: IP
    destination: Address
    http: HttpCall | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policies say: whether the call may go on, which policy decided (its key), and why in words."""

    allowed: bool
    policy: str | None
    why: str
    dry_run: str = ""
    """What the verdict would be if the policies on a dry run were in force, and why; empty where there are none."""
    audit: str = ""
    """The keys of the AUDIT policies that match, with a comma between them."""
    ask: Authorizer | None = None
    """Who must allow it besides."""
    asked_by: str = ""
    """The key of the CUSTOM policy that wants so."""


NO_ALLOW_POLICY: Final = Verdict(allowed=True, policy=None, why="no ALLOW policy is in force here")


def authorize(policies: Iterable[Policy], call: Call) -> Verdict:
    """Decide one call by the policies in force for the callee; those of them on a dry run are told of and no more."""
    attached = tuple(policies)
    enforced = tuple(policy for policy in attached if not policy.dry_run)
    verdict = _besides(_decide(enforced, call), enforced, call)
    audits = [one.key for one in enforced if one.action is Action.AUDIT and would_match(one, call)]
    if audits:
        verdict = replace(verdict, audit=",".join(audits))
    if len(enforced) == len(attached):
        return verdict
    then = _besides(_decide(attached, call), attached, call)
    what = "denied" if not then.allowed else "allowed" if then.ask is None else f"asked of {then.ask.service}"
    return replace(verdict, dry_run=f"{what}: {then.why}")


def _besides(verdict: Verdict, enforced: Sequence[Policy], call: Call) -> Verdict:
    """The verdict in view of the CUSTOM policies. Where nobody can be asked, what they match is denied."""
    matching = [one for one in enforced if one.action is Action.CUSTOM and would_match(one, call)]
    if not matching or not verdict.allowed:
        return verdict
    asked = {one.authorizer for one in matching}
    authorizer, key = asked.pop(), matching[0].key
    if authorizer is not None and not asked and call.http is not None:
        return replace(verdict, ask=authorizer, asked_by=key)
    why = "is not the only one that matches, and others name other authorizers" if asked else "has no authorizer to ask"
    if call.http is None:
        why = "is about a connection of which no authorizer is asked"
    return Verdict(allowed=False, policy=key, why=f"CUSTOM policy {key} {why}")


def _decide(enforced: Sequence[Policy], call: Call) -> Verdict:
    for policy in enforced:
        if policy.action is Action.DENY and (number := _first_match(policy, call)) is not None:
            return Verdict(allowed=False, policy=policy.key, why=f"rule {number} of DENY policy {policy.key} matches")
    allows = [policy for policy in enforced if policy.action is Action.ALLOW]
    if not allows:
        return NO_ALLOW_POLICY
    for policy in allows:
        if (number := _first_match(policy, call)) is not None:
            return Verdict(allowed=True, policy=policy.key, why=f"rule {number} of ALLOW policy {policy.key} matches")
    names = ", ".join(policy.key for policy in allows)
    return Verdict(allowed=False, policy=None, why=f"no rule of the ALLOW policies in force matches ({names})")


def headers_asked(policies: Iterable[Policy]) -> frozenset[str]:
    """The headers that policies look at."""
    return frozenset(one.name for match in _matches(policies) for one in (*match.headers, *match.not_headers))


def claims_asked(policies: Iterable[Policy]) -> frozenset[tuple[str, ...]]:
    """The claims that policies look at, by their path."""
    return frozenset(one.path for match in _matches(policies) for one in (*match.claims, *match.not_claims))


def _matches(policies: Iterable[Policy]) -> Iterator[Match]:
    for policy in policies:
        for rule in policy.rules:
            for clause in rule.clauses:
                yield from clause.matches


def would_match(policy: Policy, call: Call) -> bool:
    """Whether the policy matches the call, enforced or not; what a dry run reports."""
    return _first_match(policy, call) is not None


def unmet(policy: Policy, call: Call) -> Iterator[str]:
    """Why a policy does not match, rule by rule, by the fields whose conditions do not hold."""
    unknown = policy.action in _RESTRICTING
    for number, rule in enumerate(policy.rules, 1):
        failing = (clause for clause in rule.clauses if not _clause_holds(clause, policy.namespace, call, unknown))
        fields_unmet = [
            name
            for clause in failing
            for match in clause.matches
            for name, check in _CHECKS.items()
            if (value := getattr(match, name)) and not check(value, policy.namespace, call, unknown)
        ]
        yield f"rule {number}: {', '.join(dict.fromkeys(fields_unmet)) or 'no condition at all'}"


def _first_match(policy: Policy, call: Call) -> int | None:
    """The place (from 1) of the first rule that matches.

    Where a condition of layer 7 meets a call of which only layer 4 is known, it counts as met in a DENY and a CUSTOM
    policy and as unmet in an ALLOW policy: what cannot be checked never widens access.
    """
    unknown = policy.action in _RESTRICTING
    for number, rule in enumerate(policy.rules, 1):
        if all(_clause_holds(clause, policy.namespace, call, unknown) for clause in rule.clauses):
            return number
    return None


def _clause_holds(clause: Clause, namespace: str, call: Call, unknown: bool) -> bool:
    return not clause.matches or any(_match_holds(match, namespace, call, unknown) for match in clause.matches)


def _match_holds(match: Match, namespace: str, call: Call, unknown: bool) -> bool:
    if match == _NOTHING:
        return False
    return all(
        check(value, namespace, call, unknown) for name, check in _CHECKS.items() if (value := getattr(match, name))
    )


_NOTHING: Final = Match()
_HOST: Final = re.compile(r"(.+?)\.?(?::([0-9]{0,5}))?", re.DOTALL | re.ASCII)
_RESTRICTING: Final = frozenset({Action.DENY, Action.CUSTOM})


def _texts(wanted: Iterable[TextMatch], text: str) -> bool:
    return any(one.holds(text) for one in wanted)


def _accounts(wanted: Iterable[ServiceAccount], namespace: str, call: Call) -> bool:
    who = call.identity
    return who is not None and any(
        (one.namespace or namespace) == who.namespace and one.name == who.service_account for one in wanted
    )


def _ips(wanted: Iterable[Network], ip: IP) -> bool:
    return any(ip in network for network in wanted if network.version == ip.version)


def _host(wanted: Iterable[TextMatch], http: HttpCall) -> bool:
    """Hosts ignore letter case; one that names no port is meant for every port.

    Whatever else is the same host by DNS or RFC 3986 (a final dot, escapes, an empty port) is so here: nobody evades a
    denial by another way to write it.
    """
    host = unquote(http.host).lower()
    found = _HOST.fullmatch(host)
    name, port = (found[1], found[2]) if found is not None else (host, None)
    candidates = {host, name, f"{name}:{int(port)}" if port else name}
    return any(TextMatch(one.kind, one.value.lower()).holds(candidate) for one in wanted for candidate in candidates)


def _headers(wanted: Iterable[HeaderMatch], http: HttpCall) -> bool:
    return any(one.value.holds(http.header(one.name)) for one in wanted)


def _claims(wanted: Iterable[ClaimMatch], http: HttpCall) -> bool:
    return any(one.value.holds(value) for one in wanted for value in http.claim(one.path))


def _namespace_of(call: Call) -> str:
    return call.identity.namespace if call.identity is not None else ""


def _principal_of(call: Call) -> str:
    return call.identity.principal if call.identity is not None else ""


def _http(test: Callable[[Any, HttpCall], bool], *, wanted: bool) -> Callable[..., bool]:
    def check(values: object, _namespace: str, call: Call, unknown: bool) -> bool:
        return unknown if call.http is None else test(values, call.http) is wanted

    return check


_CHECKS: Final[dict[str, Callable[..., bool]]] = {
    "namespaces": lambda v, _ns, call, _u: _texts(v, _namespace_of(call)),
    "not_namespaces": lambda v, _ns, call, _u: not _texts(v, _namespace_of(call)),
    "principals": lambda v, _ns, call, _u: _texts(v, _principal_of(call)),
    "not_principals": lambda v, _ns, call, _u: not _texts(v, _principal_of(call)),
    "service_accounts": lambda v, ns, call, _u: _accounts(v, ns, call),
    "not_service_accounts": lambda v, ns, call, _u: not _accounts(v, ns, call),
    "source_ips": lambda v, _ns, call, _u: _ips(v, call.source),
    "not_source_ips": lambda v, _ns, call, _u: not _ips(v, call.source),
    "destination_ips": lambda v, _ns, call, _u: _ips(v, call.destination.ip),
    "not_destination_ips": lambda v, _ns, call, _u: not _ips(v, call.destination.ip),
    "destination_ports": lambda v, _ns, call, _u: call.destination.port in v,
    "not_destination_ports": lambda v, _ns, call, _u: call.destination.port not in v,
    "methods": _http(lambda v, http: _texts(v, http.method), wanted=True),
    "not_methods": _http(lambda v, http: _texts(v, http.method), wanted=False),
    "paths": _http(lambda v, http: _texts(v, http.path), wanted=True),
    "not_paths": _http(lambda v, http: _texts(v, http.path), wanted=False),
    "hosts": _http(_host, wanted=True),
    "not_hosts": _http(_host, wanted=False),
    "headers": _http(_headers, wanted=True),
    "not_headers": _http(_headers, wanted=False),
    "request_principals": _http(lambda v, http: _texts(v, http.principal), wanted=True),
    "not_request_principals": _http(lambda v, http: _texts(v, http.principal), wanted=False),
    "claims": _http(_claims, wanted=True),
    "not_claims": _http(_claims, wanted=False),
}

if _CHECKS.keys() != {field.name for field in fields(Match)}:
    raise AssertionError("every field of Match needs its check")
