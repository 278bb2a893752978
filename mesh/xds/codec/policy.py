"""Policies: those of nodes as `istio.security.Authorization`, those of waypoints as `ambit.waypoint.Policy`.

A condition that cannot be read makes the whole policy unreadable: dropping one condition would change whom it admits.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.empty_pb2 import Empty

from mesh.policy import (
    Action,
    Authorizer,
    ClaimMatch,
    Clause,
    HeaderMatch,
    Match,
    Network,
    Policy,
    Rule,
    Scope,
    ServiceAccount,
    Target,
    TextMatch,
    TextMatchKind,
)
from mesh.xds.pb import authorization_pb2 as pb
from mesh.xds.pb import waypoint_pb2 as own

if TYPE_CHECKING:
    from collections.abc import Iterable

_SCOPES: Final = {
    Scope.GLOBAL: pb.Scope.GLOBAL,
    Scope.NAMESPACE: pb.Scope.NAMESPACE,
    Scope.WORKLOAD_SELECTOR: pb.Scope.WORKLOAD_SELECTOR,
}
_SCOPE_OF: Final[dict[int, Scope]] = {number: scope for scope, number in _SCOPES.items()}
_ACTIONS: Final = {Action.ALLOW: pb.Action.ALLOW, Action.DENY: pb.Action.DENY}
_ACTION_OF: Final[dict[int, Action]] = {number: action for action, number in _ACTIONS.items()}
_OWN_ACTIONS: Final = {
    Action.ALLOW: own.Action.ALLOW,
    Action.DENY: own.Action.DENY,
    Action.AUDIT: own.Action.AUDIT,
    Action.CUSTOM: own.Action.CUSTOM,
}
_OWN_ACTION_OF: Final[dict[int, Action]] = {number: action for action, number in _OWN_ACTIONS.items()}

_TEXTS: Final = ("namespaces", "not_namespaces", "principals", "not_principals")
_BLOCKS: Final = ("source_ips", "not_source_ips", "destination_ips", "not_destination_ips")
_PORTS: Final = ("destination_ports", "not_destination_ports")
_ACCOUNTS: Final = ("service_accounts", "not_service_accounts")
_LAYER_7: Final = (
    "methods", "not_methods", "paths", "not_paths", "hosts", "not_hosts",
    "request_principals", "not_request_principals",
)  # fmt: skip
_HEADERS: Final = ("headers", "not_headers")
_CLAIMS: Final = ("claims", "not_claims")


def authorization_message(policy: Policy) -> pb.Authorization:
    """A node's policy. ValueError for what only a waypoint could check: the compiler takes that out beforehand."""
    if policy.scope not in _SCOPES or policy.targets or policy.action not in _ACTIONS:
        raise ValueError(f"policy {policy.key} is a waypoint's, not a node's")
    matches = (match for rule in policy.rules for clause in rule.clauses for match in clause.matches)
    if any(getattr(match, name) for match in matches for name in (*_LAYER_7, *_HEADERS, *_CLAIMS)):
        raise ValueError(f"policy {policy.key} has conditions of layer 7, which a node cannot check")
    return pb.Authorization(
        name=policy.name,
        namespace=policy.namespace,
        scope=_SCOPES[policy.scope],
        action=_ACTIONS[policy.action],
        dry_run=policy.dry_run,
        rules=[
            pb.Rule(clauses=[pb.Clause(matches=map(_match_message, one.matches)) for one in rule.clauses])
            for rule in policy.rules
        ],
    )


def read_authorization(message: pb.Authorization) -> Policy:
    """A node's policy; ValueError with the reason if it cannot be relied on."""
    if message.scope not in _SCOPE_OF or message.action not in _ACTION_OF:
        raise ValueError(f"unknown scope {message.scope} or action {message.action}")
    return Policy(
        name=_named(message.name),
        namespace=message.namespace,
        scope=_SCOPE_OF[message.scope],
        action=_ACTION_OF[message.action],
        dry_run=message.dry_run,
        rules=tuple(
            Rule(tuple(Clause(tuple(map(_match, one.matches))) for one in rule.clauses)) for rule in message.rules
        ),
    )


def waypoint_message(policy: Policy) -> own.Policy:
    """A waypoint's policy."""
    return own.Policy(
        name=policy.name,
        namespace=policy.namespace,
        action=_OWN_ACTIONS[policy.action],
        dry_run=policy.dry_run,
        authorizer=_authorizer_message(policy.authorizer) if policy.authorizer is not None else None,
        targets=[own.Target(kind=one.kind, namespace=one.namespace, name=one.name) for one in policy.targets],
        rules=[
            own.Rule(clauses=[own.Clause(matches=map(_own_match_message, one.matches)) for one in rule.clauses])
            for rule in policy.rules
        ],
    )


def read_waypoint_policy(message: own.Policy) -> Policy:
    """A waypoint's policy; ValueError with the reason if it cannot be relied on."""
    if message.action not in _OWN_ACTION_OF:
        raise ValueError(f"unknown action {message.action}")
    return Policy(
        name=_named(message.name),
        namespace=message.namespace,
        scope=Scope.TARGET,
        action=_OWN_ACTION_OF[message.action],
        dry_run=message.dry_run,
        authorizer=_authorizer(message.authorizer) if message.HasField("authorizer") else None,
        targets=tuple(Target(one.kind, one.namespace, one.name) for one in message.targets),
        rules=tuple(
            Rule(tuple(Clause(tuple(map(_own_match, one.matches))) for one in rule.clauses)) for rule in message.rules
        ),
    )


def _authorizer_message(one: Authorizer) -> own.Authorizer:
    return own.Authorizer(
        service=one.service, port=one.port, timeout=one.timeout, fail_open=one.fail_open, status=one.status
    )


def _authorizer(message: own.Authorizer) -> Authorizer:
    if not (0 < message.timeout <= 3600 and 400 <= message.status < 600 and 0 < message.port < 65536):
        raise ValueError(f"an authorizer with {message.timeout:g} s, status {message.status}, port {message.port}")
    return Authorizer(message.service, message.port, message.timeout, message.fail_open, message.status)


def _named(name: str) -> str:
    if not name:
        raise ValueError("a policy without name")
    return name


def _match_message(match: Match) -> pb.Match:
    fields: dict[str, Any] = {name: _text_messages(getattr(match, name)) for name in _TEXTS}
    fields |= {name: _block_messages(getattr(match, name)) for name in _BLOCKS}
    fields |= {name: getattr(match, name) for name in _PORTS}
    fields |= {name: _account_messages(getattr(match, name)) for name in _ACCOUNTS}
    return pb.Match(**fields)


def _match(message: pb.Match) -> Match:
    return Match(**_layer_4(message))


def _own_match_message(match: Match) -> own.Match:
    fields: dict[str, Any] = {name: map(_own_text_message, getattr(match, name)) for name in _LAYER_7}
    fields |= {name: map(_header_message, getattr(match, name)) for name in _HEADERS}
    fields |= {name: map(_claim_message, getattr(match, name)) for name in _CLAIMS}
    return own.Match(layer4=_match_message(match), **fields)


def _own_match(message: own.Match) -> Match:
    fields: dict[str, Any] = {name: tuple(map(_own_text, getattr(message, name))) for name in _LAYER_7}
    fields |= {name: tuple(map(_header, getattr(message, name))) for name in _HEADERS}
    fields |= {name: tuple(map(_claim, getattr(message, name))) for name in _CLAIMS}
    return Match(**_layer_4(message.layer4), **fields)


def _own_text_message(text: TextMatch) -> own.TextMatch:
    given: Any = {text.kind.value: True if text.kind is TextMatchKind.PRESENCE else text.value}
    return own.TextMatch(**given)


def _own_text(message: own.TextMatch) -> TextMatch:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise ValueError("a condition on a text that says nothing, or something unknown")
    return TextMatch(TextMatchKind(kind), "" if kind == "presence" else getattr(message, kind))


def _header_message(match: HeaderMatch) -> own.HeaderMatch:
    return own.HeaderMatch(name=match.name, value=_own_text_message(match.value))


def _header(message: own.HeaderMatch) -> HeaderMatch:
    return HeaderMatch(message.name, _own_text(message.value))


def _claim_message(match: ClaimMatch) -> own.ClaimMatch:
    return own.ClaimMatch(path=match.path, value=_own_text_message(match.value))


def _claim(message: own.ClaimMatch) -> ClaimMatch:
    return ClaimMatch(tuple(message.path), _own_text(message.value))


def _layer_4(message: pb.Match) -> dict[str, Any]:
    if message.extensions:
        raise ValueError(f"unknown condition {message.extensions[0].name!r}")
    fields: dict[str, Any] = {name: tuple(map(_text, getattr(message, name))) for name in _TEXTS}
    fields |= {name: tuple(map(_block, getattr(message, name))) for name in _BLOCKS}
    fields |= {name: tuple(map(_port, getattr(message, name))) for name in _PORTS}
    fields |= {name: tuple(map(_account, getattr(message, name))) for name in _ACCOUNTS}
    return fields


def _text_messages(texts: Iterable[TextMatch]) -> list[pb.StringMatch]:
    return [_text_message(one) for one in texts]


def _text_message(text: TextMatch) -> pb.StringMatch:
    match text.kind:
        case TextMatchKind.EXACT:
            return pb.StringMatch(exact=text.value)
        case TextMatchKind.PREFIX:
            return pb.StringMatch(prefix=text.value)
        case TextMatchKind.SUFFIX:
            return pb.StringMatch(suffix=text.value)
        case TextMatchKind.PRESENCE:
            return pb.StringMatch(presence=Empty())
        case TextMatchKind.TEMPLATE:
            raise ValueError("a template of a path, which a node cannot check")


def _text(message: pb.StringMatch) -> TextMatch:
    match message.WhichOneof("match_type"):
        case None:
            raise ValueError("a condition on a text that says nothing, or something unknown")
        case "presence":
            return TextMatch(TextMatchKind.PRESENCE)
        case kind:
            return TextMatch(TextMatchKind(kind), getattr(message, kind))


def _block_messages(blocks: Iterable[Network]) -> list[pb.Address]:
    return [pb.Address(address=one.network_address.packed, length=one.prefixlen) for one in blocks]


def _block(message: pb.Address) -> Network:
    """The block of addresses; bits beyond the prefix are not looked at, as in Istio."""
    if message.length > 8 * len(message.address):
        raise ValueError(f"a prefix of {message.length} bits on an address of {len(message.address)} bytes")
    if len(message.address) == 4:
        return IPv4Network((message.address, message.length), strict=False)
    if len(message.address) == 16:
        return IPv6Network((message.address, message.length), strict=False)
    raise ValueError(f"an address of {len(message.address)} bytes")


def _account_messages(accounts: Iterable[ServiceAccount]) -> list[pb.ServiceAccountMatch]:
    return [pb.ServiceAccountMatch(namespace=one.namespace, serviceAccount=one.name) for one in accounts]


def _account(message: pb.ServiceAccountMatch) -> ServiceAccount:
    return ServiceAccount(message.namespace, message.serviceAccount)


def _port(number: int) -> int:
    if number > 65535:
        raise ValueError(f"{number} is no port")
    return number
