"""Admission: what is wrong with documents that somebody is about to apply.

Reading finds what an API server would refuse; beyond that, references that can never work are found, as long as the
surroundings (the world that the documents will join) are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from istiod_lite import facts, manifests
from istiod_lite.compile.routes import attachment, unresolved, unsupported_filters
from istiod_lite.compile.settings import Settings
from istiod_lite.compile.waypoints import (
    Binding,
    BindingState,
    acceptance,
    is_waypoint_class,
    pod_binding,
    service_binding,
)
from istiod_lite.facts import AuthorizationPolicy, Gateway, Pod, RouteFact, Service
from istiod_lite.problem import Problem
from istiod_lite.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istiod_lite.facts import Fact


def check(documents: str, source: str, context: World | None = None, settings: Settings | None = None) -> list[Problem]:
    """Every problem of some documents, the grave ones first; with their lines.

    `source` is the file's name; one that ends in .json is read as JSON. `context` is the world they will join; without
    it nothing is said about references to objects that are not among the documents.
    """
    files = {source: documents}
    objects, problems = manifests.load(files)
    read: list[Fact] = []
    for obj in objects:
        found = facts.read(obj)
        if isinstance(found, list):
            problems.extend(found)
        else:
            read.append(found)
    world = (context or World()).replace(read)
    for fact in read:
        problems.extend(_hopeless(world, fact, settings or Settings(), lone=context is None))
    return sorted(manifests.locate(problems, files), key=lambda one: (not one.grave, one.line))


def _hopeless(world: World, fact: Fact, settings: Settings, *, lone: bool) -> Iterator[Problem]:
    """What cannot work as it is. Grave is only what no other object could still mend; the rest is a warning."""
    match fact:
        case Gateway():
            yield from _unacceptable(world, fact)
        case RouteFact():
            yield from _unsupported(fact)
            if not lone:
                yield from _loose_ends(world, fact)
        case AuthorizationPolicy():
            yield from _misplaced(fact, settings)
        case Service() if not lone:
            yield from _unbound(fact, service_binding(world, fact, settings))
        case Pod() if not lone:
            yield from _unbound(fact, pod_binding(world, fact, settings))
        case _:
            return


def _problem(fact: Fact, field: str, message: str, mend: str, *, grave: bool = True) -> Problem:
    return Problem(fact.meta.source, str(fact.meta.key), field, message, mend, grave, fact.meta.line)


def _unacceptable(world: World, fact: Gateway) -> Iterator[Problem]:
    accepted = acceptance(fact)
    if is_waypoint_class(world, fact.gateway_class) and not accepted.accepted:
        mend = "give it one listener: {name: mesh, port: 15008, protocol: HBONE}"
        yield _problem(fact, "spec.listeners", accepted.message, mend)


def _unsupported(fact: RouteFact) -> Iterator[Problem]:
    for number, rule in enumerate(fact.rules):
        for lacking in unsupported_filters(rule):
            mend = "its requests would be answered 500: take it away"
            yield _problem(fact, f"spec.rules[{number}]", f"{lacking} is not supported", mend)


def _misplaced(fact: AuthorizationPolicy, settings: Settings) -> Iterator[Problem]:
    for number, target in enumerate(fact.targets):
        if target.kind == "GatewayClass" and fact.meta.namespace != settings.root_namespace:
            message = f"a policy for a GatewayClass belongs into namespace {settings.root_namespace}"
            yield _problem(fact, f"spec.targetRefs[{number}]", message, "move it there")


def _unbound(fact: Service | Pod, binding: Binding | None) -> Iterator[Problem]:
    """A waypoint that will not take them. One that is missing may still come."""
    if binding is not None and binding.state in {BindingState.UNSUPPORTED_TRAFFIC, BindingState.DENIED}:
        yield _problem(fact, "metadata.labels", binding.message, "mend the label or the Gateway", grave=False)


def _loose_ends(world: World, fact: RouteFact) -> Iterator[Problem]:
    """The references of a route that lead nowhere yet."""
    mend = "create it, or mend the reference"
    for number, parent in enumerate(fact.parents):
        attached = attachment(world, parent)
        if attached is not None and attached.fault:
            yield _problem(fact, f"spec.parentRefs[{number}]", attached.fault, mend, grave=False)
    for number, rule in enumerate(fact.rules):
        for place, backend in enumerate(rule.backends):
            lost = unresolved(world, backend) if backend.weight else None
            if lost is not None:
                yield _problem(fact, f"spec.rules[{number}].backendRefs[{place}]", lost.message, mend, grave=False)
