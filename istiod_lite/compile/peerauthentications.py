"""PeerAuthentications as the policies that ztunnel enforces: strict means that callers without identity are denied.

The nearest one that says something wins: of the workload's port, of the workload, of the namespace, of the mesh; the
oldest where several say it at one level. Where a strict workload has a port that takes plain text, one policy with
that exception stands in for the plain strict one, for any DENY that matches would deny.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from istiod_lite.facts import PeerAuthentication
from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, TextMatch, TextMatchKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite.compile.settings import Settings
    from istiod_lite.world import World

STRICT_POLICY: Final = "istio_converted_static_strict"
_CONVERTED: Final = "converted_peer_authentication_"
_NO_IDENTITY: Final = Clause((Match(not_principals=(TextMatch(TextMatchKind.PRESENCE),)),))


def peer_policies(world: World, settings: Settings) -> Iterator[Policy]:
    """The policies that stand for all PeerAuthentications."""
    if not world.all(PeerAuthentication):
        return
    yield _deny(settings.root_namespace, STRICT_POLICY, (Rule((_NO_IDENTITY,)),))
    for fact in world.all(PeerAuthentication):
        if fact.selector is not None and (rules := _port_rules(world, fact, settings)):
            yield _deny(fact.meta.namespace, _CONVERTED + fact.meta.name, rules)


def peer_policies_for(world: World, inside: str, labels: Mapping[str, str], settings: Settings) -> tuple[str, ...]:
    """The keys of those of them that hold for a workload of a namespace, none if it takes plain text."""
    own = next(
        (
            fact
            for fact in world.peer_authentications(inside)
            if fact.selector is not None and all(labels.get(k) == v for k, v in fact.selector)
        ),
        None,
    )
    if own is not None and _port_rules(world, own, settings):
        return (f"{own.meta.namespace}/{_CONVERTED}{own.meta.name}",)
    if _mode(world, own, inside, settings) == "STRICT":
        return (f"{settings.root_namespace}/{STRICT_POLICY}",)
    return ()


def _mode(world: World, own: PeerAuthentication | None, namespace: str, settings: Settings) -> str:
    """The mode of a workload as a whole."""
    if own is not None and own.mode != "UNSET":
        return own.mode
    for level in (namespace, settings.root_namespace):
        wide = next((fact for fact in world.peer_authentications(level) if fact.selector is None), None)
        if wide is not None and wide.mode != "UNSET":
            return wide.mode
    return "PERMISSIVE"


def _port_rules(world: World, fact: PeerAuthentication, settings: Settings) -> tuple[Rule, ...]:
    """The rules of a PeerAuthentication whose ports differ from its workloads' own mode; none if no port does."""
    if _mode(world, fact, fact.meta.namespace, settings) != "STRICT":
        return tuple(
            Rule((Clause((Match(not_principals=(TextMatch(TextMatchKind.PRESENCE),), destination_ports=(port,)),)),))
            for port, mode in fact.ports
            if mode == "STRICT"
        )
    open_ports = tuple(port for port, mode in fact.ports if mode in {"PERMISSIVE", "DISABLE"})
    if not open_ports:
        return ()
    return (Rule((_NO_IDENTITY, Clause((Match(not_destination_ports=open_ports),)))),)


def _deny(namespace: str, name: str, rules: tuple[Rule, ...]) -> Policy:
    return Policy(name, namespace, Scope.WORKLOAD_SELECTOR, Action.DENY, rules)
