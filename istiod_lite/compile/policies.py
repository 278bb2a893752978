"""AuthorizationPolicies and PeerAuthentications as the proxies enforce them.

A policy with targetRefs is enforced by waypoints, which know all of a request. Every other policy is enforced by
ztunnel, which knows no HTTP: there a rule that allows only by what ztunnel cannot see is dropped, while a rule that
denies loses only what cannot be seen and so denies more. Neither ever widens access.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from istiod_lite.compile.peerauthentications import peer_policies, peer_policies_for
from istiod_lite.facts import AuthorizationPolicy, MeshConfig
from istiod_lite.facts.meshconfig import NAME as MESH_CONFIG
from mesh.policy import (
    Action,
    Authorizer,
    ClaimMatch,
    Clause,
    HeaderMatch,
    Match,
    Policy,
    Rule,
    Scope,
    ServiceAccount,
    Target,
    TextMatch,
    TextMatchKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts.authorizationpolicy import Attribute, PolicyRule, TargetRef, Term
    from istiod_lite.world import World

_FIELDS: Final = {
    "principals": "principals", "namespaces": "namespaces", "serviceAccounts": "service_accounts",
    "sourceIps": "source_ips", "destinationIps": "destination_ips", "ports": "destination_ports",
    "methods": "methods", "paths": "paths", "hosts": "hosts", "headers": "headers",
    "requestPrincipals": "request_principals", "claims": "claims",
    # No proxy stands before a mesh whose word for a caller's address would be taken, so the remote one is the caller's.
    "remoteIps": "source_ips",
}  # fmt: skip
_ACTIONS: Final = {"ALLOW": Action.ALLOW, "AUDIT": Action.AUDIT}
_LAYER_7: Final = frozenset({"methods", "paths", "hosts", "remoteIps", "headers", "requestPrincipals", "claims"})


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy and the attributes of its author that could not be enforced as written."""

    policy: Policy
    unenforced: tuple[str, ...]


def authorizers(world: World, settings: Settings) -> Mapping[str, Authorizer]:
    """The external authorizers that CUSTOM policies may name."""
    found = world.get(MeshConfig, settings.root_namespace, MESH_CONFIG)
    return dict(found.authorizers) if found is not None else {}


def compile_policy(fact: AuthorizationPolicy, known: Mapping[str, Authorizer], settings: Settings) -> Compiled | None:
    """One AuthorizationPolicy; None for AUDIT where no waypoint could record what matches.

    CUSTOM asks an external authorizer, of those that are `known`: where there is none, or no waypoint to ask it, what
    it would be asked about is denied.
    """
    scope = _scope(fact, settings)
    authorizer = known.get(fact.provider) if fact.action == "CUSTOM" and scope is Scope.TARGET else None
    action = _ACTIONS.get(fact.action, Action.DENY) if authorizer is None else Action.CUSTOM
    if action is Action.AUDIT and scope is not Scope.TARGET:
        return None
    blind = [] if scope is Scope.TARGET else sorted(_LAYER_7)
    rules: list[Rule] = []
    unenforced: dict[str, None] = {}
    for rule in fact.rules:
        lost = [one for one in _attributes(rule) if one.name not in _FIELDS or one.name in blind]
        unenforced |= dict.fromkeys(one.written for one in lost)
        if not lost:
            rules.append(_rule(rule, ()))
        elif action in {Action.DENY, Action.CUSTOM}:
            rules.append(_rule(rule, lost))
    return Compiled(
        Policy(
            name=fact.meta.name,
            namespace=fact.meta.namespace,
            scope=scope,
            action=action,
            rules=tuple(rules),
            dry_run=fact.dry_run,
            targets=targets_in_force(fact.targets, fact.meta.namespace, settings),
            authorizer=authorizer,
        ),
        tuple(unenforced),
    )


def compile_policies(world: World, settings: Settings) -> Iterator[Policy]:
    """Every policy: those that people wrote, and those that stand for their PeerAuthentications."""
    known = authorizers(world, settings)
    for fact in world.all(AuthorizationPolicy):
        compiled = compile_policy(fact, known, settings)
        if compiled is not None:
            yield compiled.policy
    yield from peer_policies(world, settings)


def policies_selecting(world: World, inside: str, labels: Mapping[str, str], settings: Settings) -> tuple[str, ...]:
    """The keys of the policies that name a workload of a namespace by its labels.

    Policies of the root namespace select in every one.
    """
    keys: list[str] = []
    for namespace in dict.fromkeys((settings.root_namespace, inside)):
        for fact in world.policies_with_selector(namespace):
            chosen = fact.selector is not None and all(labels.get(k) == v for k, v in fact.selector)
            if chosen and not fact.targets and fact.action != "AUDIT":
                keys.append(f"{fact.meta.namespace}/{fact.meta.name}")
    return (*keys, *peer_policies_for(world, inside, labels, settings))


def targets_in_force(targets: Iterable[TargetRef], namespace: str, settings: Settings) -> tuple[Target, ...]:
    """What an object of this namespace is attached to; to a class of Gateways only one of the root namespace is."""
    return tuple(
        Target(one.kind, "" if one.kind == "GatewayClass" else one.namespace, one.name)
        for one in targets
        if one.kind != "GatewayClass" or namespace == settings.root_namespace
    )


def _scope(fact: AuthorizationPolicy, settings: Settings) -> Scope:
    if fact.targets:
        return Scope.TARGET
    if fact.selector is not None:
        return Scope.WORKLOAD_SELECTOR
    return Scope.GLOBAL if fact.meta.namespace == settings.root_namespace else Scope.NAMESPACE


def _attributes(rule: PolicyRule) -> Iterator[Attribute]:
    for term in (*rule.sources, *rule.operations, *rule.conditions):
        yield from term


def _rule(rule: PolicyRule, lost: Iterable[Attribute]) -> Rule:
    """A rule without the attributes that are lost; a clause with nothing left to ask is met, so it is left out."""
    gone = frozenset(lost)
    groups = [rule.sources, rule.operations, *((condition,) for condition in rule.conditions)]
    clauses = (tuple(tuple(one for one in term if one not in gone) for term in group) for group in groups)
    return Rule(tuple(Clause(tuple(map(_match, terms))) for terms in clauses if terms and all(terms)))


def _match(term: Term) -> Match:
    found: dict[str, tuple[object, ...]] = {}
    for one in term:
        name = f"not_{_FIELDS[one.name]}" if one.negative else _FIELDS[one.name]
        found[name] = (*found.get(name, ()), *(_value(one, value) for value in one.values))
    return Match(**found)  # type: ignore[arg-type]


def _value(attribute: Attribute, value: str) -> object:
    match attribute.name:
        case "sourceIps" | "remoteIps" | "destinationIps":
            return ip_network(value, strict=False)
        case "ports":
            return int(value)
        case "serviceAccounts":
            namespace, _, name = value.rpartition("/")
            return ServiceAccount(namespace, name)
    text = TextMatch(TextMatchKind.TEMPLATE, value) if _is_template(attribute, value) else text_match(value)
    match attribute.name:
        case "headers":
            return HeaderMatch(attribute.key, text)
        case "claims":
            return ClaimMatch(attribute.claim, text)
    return text


def _is_template(attribute: Attribute, value: str) -> bool:
    return attribute.name == "paths" and "{" in value


def text_match(value: str) -> TextMatch:
    """Istio's wildcards: "*" is anything at all, "*x" a suffix, "x*" a prefix, everything else itself."""
    if value == "*":
        return TextMatch(TextMatchKind.PRESENCE)
    if value.startswith("*"):
        return TextMatch(TextMatchKind.SUFFIX, value[1:])
    if value.endswith("*"):
        return TextMatch(TextMatchKind.PREFIX, value[:-1])
    return TextMatch(TextMatchKind.EXACT, value)
